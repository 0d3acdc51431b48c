"""cmdop: a shell on any of your machines, through a relay that cannot read it."""

__version__ = "0.1.0"
