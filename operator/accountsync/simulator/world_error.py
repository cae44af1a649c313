"""The world's one exception. Its module is its own: the parts of the world raise it, and the world imports them."""


class WorldError(ValueError):
    """An action that cannot be done to this world: it names the object and what was expected."""
