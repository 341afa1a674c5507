"""From a study's database to its tables, figures' series, aggregates and findings. No torch."""
