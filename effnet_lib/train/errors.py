"""The two ways in which training stops: a mistake in what was asked, or a fault around it."""


class ConfigError(ValueError):
    """What was asked for cannot be done as it stands; exit status 2."""


class RunError(RuntimeError):
    """The machine, the data or the numbers failed under a run that was well asked for; status 1."""


class ReadingError(RunError):
    """Images cannot be read, or a process that reads them has died: what was trained so far is whole."""


class Interrupted(RunError):
    """A signal asked the run to stop; what it had done is saved. ``status`` is 128 + signal."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class PeerError(RunError):
    """Another process of the group failed, and this one cannot go on; ``status`` is that of the other."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status
