"""From a study's database to the reproduction of Li (2023): trends, memory, findings, one page. No torch."""
