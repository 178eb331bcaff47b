"""The experiments of the papers, repeated: one script a table, see README.md."""
