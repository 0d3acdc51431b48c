"""cmdop: a shell on any of your machines, through a relay that cannot read it."""

__version__ = "0.1.0"
__all__ = ["AttachedSession", "Client", "Ended", "Executed", "Machine", "ReadOutput", "Session", "connect"]

TYPE_CHECKING = False  # typing.TYPE_CHECKING, without the import
if TYPE_CHECKING:
    from cmdop.api import AttachedSession, Client, Ended, Executed, Machine, ReadOutput, Session, connect
else:

    def __getattr__(name: str) -> object:
        """The public API, imported when it is first asked for: `cmdop --version` need not wait for it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from cmdop import api

        return getattr(api, name)
