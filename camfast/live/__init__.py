"""An overlay while frames arrive: `Overlay`, sources, a web page, and what else takes what is shown."""

__all__: list[str] = []
