"""What calls cost, for Prometheus: computed from the ledger when it is asked for, so every process says the same.

Of the whole installation. A label for teams, models or people would let whoever makes those decide how many time series
there are, and would show each team's spending to whoever reads the metrics.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.billing.usage_reading import LedgerTotals, ledger_totals
from apps.core.db import in_database, is_database_away

_NANO = 10**9


class _Totals(Collector):
    def __init__(self, totals: LedgerTotals | None) -> None:
        self.totals = totals

    def collect(self) -> Iterator[Metric]:
        found = self.totals
        yield GaugeMetricFamily("llmopt_ledger_readable", "1 when the ledger could be read.", value=found is not None)
        if found is None:
            return
        counters: list[tuple[str, str, float]] = [
            ("llmopt_cache_hits", "Calls that the response cache answered.", found.hits),
            ("llmopt_cache_misses", "Attempts at a model.", found.misses),
            ("llmopt_saved_usd", "What the answers from the cache cost when first given.", found.saved_nanousd / _NANO),
        ]
        for name, text, value in counters:
            yield CounterMetricFamily(name, text, value=value)
        # Gauges: a correction may lower what was spent.
        gauges: list[tuple[str, str, float]] = [
            ("llmopt_spent_usd", "The sum of all ledger entries.", found.spent_nanousd / _NANO),
            ("llmopt_held_usd", "Held for calls under way.", found.held_nanousd / _NANO),
            ("llmopt_unknown_attempts", "Attempts booked at their bound and not corrected.", found.unknown),
        ]
        for name, text, value in gauges:
            yield GaugeMetricFamily(name, text, value=value)


async def ledger_metrics() -> bytes:
    """In Prometheus's text format. While the database is away, only that the ledger could not be read."""
    try:
        totals = await in_database(ledger_totals)
    except Exception as error:
        if not is_database_away(error):
            raise
        totals = None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Totals(totals))
    return generate_latest(registry)
