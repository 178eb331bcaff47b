"""Models with their explanations as files that run without camfast."""

from camfast.export.writing import export

__all__ = ["export"]
