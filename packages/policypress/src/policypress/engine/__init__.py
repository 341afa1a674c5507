"""Cells become results: tasks, the scheduler, executors, and the store. Used by searches and studies."""
