"""The web page: a server on this machine, its messages, and the page itself."""
