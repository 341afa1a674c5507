"""Published figures as data: the tables of Lu, Alemi and Rawassizadeh (2024), and reference returns."""
