"""Trains variants of a preset on pairs that lie in the device's memory, and measures them all alike."""
