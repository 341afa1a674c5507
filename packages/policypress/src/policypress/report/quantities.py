"""Numbers with units as people read them. SI in, scaled out."""

from __future__ import annotations

_PREFIXES = ((-9, "n"), (-6, "µ"), (-3, "m"), (0, ""), (3, "k"), (6, "M"), (9, "G"))


def size(count: float | int) -> str:
    """Bytes for people: ``812 B``, ``14.5 kB``, ``1.2 MB`` (powers of ten)."""
    if count < 1000:
        return f"{count:.0f} B"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def with_spread(mean: float, half_width: float | None) -> str:
    """``9180 ± 90``: both with the decimals that suit the larger one."""
    larger = max(abs(mean), half_width or 0.0)
    decimals = 0 if larger >= 1000 else 1 if larger >= 10 else 2 if larger >= 1 else 3
    return f"{mean:.{decimals}f}" + ("" if half_width is None else f" ± {half_width:.{decimals}f}")


def si(value: float | int, unit: str) -> str:
    """Three significant digits and a prefix.

    >>> si(5.634e-6, "s"), si(0.0999996, "J"), si(0.0, "s")
    ('5.63 µs', '100 mJ', '0 s')
    """
    if value == 0:
        return f"0 {unit}"
    exponent, prefix = next((p for p in _PREFIXES if abs(value) < 999.5 * 10.0 ** p[0]), _PREFIXES[-1])
    scaled = value / 10.0**exponent
    decimals = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    return f"{scaled:.{decimals}f} {prefix}{unit}"


def percent(share: float | int, decimals: int = 1) -> str:
    """``98.9 %``; never minus zero.

    >>> percent(0.9893), percent(-0.0001)
    ('98.9 %', '0.0 %')
    """
    return f"{round(100 * share, decimals) + 0.0:.{decimals}f} %"


def times(factor: float) -> str:
    """``3.7×``; from ten on without decimals."""
    return f"{factor:.1f}×" if factor < 9.95 else f"{factor:.0f}×"
