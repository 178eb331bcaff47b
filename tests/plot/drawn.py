"""What the tests of figures share."""

SHAPE = (6, 20, 30)


def panels(figure):
    """Axes that hold a slice, in the order z, y, x."""
    return [axes for axes in figure.axes if axes.get_title()[:1] in "zyx" and axes.images]
