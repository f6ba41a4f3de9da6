"""Measures with the oscilloscope: python3 measure.py HOST PORT

Needs the package: pip install basic-socket-rpc==0.6.0

Waits for as long as somebody else has the scope, ten minutes at most.
Ends with an error if the instrument does not see what it should.
"""

import sys

from scope import Scope, Settings

SETTINGS = Settings(label="filter, batch 8", drive=1000, range=2000, rate=20_000, samples=2000)


def expect(what: str, got, want) -> None:
    if got != want:
        raise AssertionError(f"{what}: got {got}, want {want}")


def measure(scope) -> None:
    print("this is", scope.identify())
    scope.configure(SETTINGS)
    expect("settings", scope.settings(), SETTINGS)
    print("configured:", SETTINGS)
    scope.arm()
    for channel, volts in (1, 1.0), (2, 0.5):
        print("acquiring channel", channel)
        waveform = scope.acquire(channel)
        statistics = scope.statistics()
        print(f"  {statistics}\n  begins {' '.join(f'{v:.3f}' for v in waveform[:10])}")
        expect("samples", len(waveform), SETTINGS.samples)
        expect("statistics", statistics[:4], (SETTINGS.samples, 100, min(waveform), max(waveform)))
        expect("amplitude", (min(waveform), max(waveform)), (-volts, volts))


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    # configure takes the scope, until the connection ends. The wait is not told its place.
    scope = Scope(sys.argv[1], int(sys.argv[2]), timeout_secs=600, retry_interval_secs=0.5)
    with scope:
        measure(scope)
    print("measured")


if __name__ == "__main__":
    main()
