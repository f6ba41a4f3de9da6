"""Makes mistakes with the oscilloscope: python3 mistakes.py HOST PORT

Each is answered with an exception, after which the connection goes on. The
exception is the builtin, or the package's own, of the name that the Go error
has by its method ExceptionName; ServerError where there is none of that name.
"""

import sys

from basic_socket_rpc.rpc_low_level import ServerError
from measure import SETTINGS
from scope import Scope


def mistake(what: str, expected: type, text: str, call, *args) -> None:
    try:
        call(*args)
    except Exception as exc:
        if type(exc) is not expected or text not in str(exc):
            raise
        print(f"{what}: {type(exc).__name__}: {exc}")
    else:
        raise AssertionError(f"{what}: no exception")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    scope = Scope(sys.argv[1], int(sys.argv[2]), timeout_secs=600, retry_interval_secs=0.5)
    with scope:
        wild = SETTINGS._replace(drive=9000, rate=44)
        wide = SETTINGS._replace(range=70_000)
        mistake("arming before anything is set", ServerError, "NotConfigured", scope.arm)
        mistake("settings out of range", ValueError, "Drive: 9000 mV, want 1 to 5000", scope.configure, wild)
        mistake("a range that two bytes can't hold, not sent", OverflowError, "too big", scope.configure, wide)
        scope.configure(SETTINGS)
        mistake("acquiring with the output off", ServerError, "NotArmed", scope.acquire, 1)
        scope.arm()
        mistake("channel 3", ValueError, "channel 3, want 1 or 2", scope.acquire, 3)
        print("still connected to", scope.identify())


if __name__ == "__main__":
    main()
