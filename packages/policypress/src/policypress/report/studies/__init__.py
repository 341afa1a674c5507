"""What reports on studies are made of, for the general report and for plug-ins. No torch."""
