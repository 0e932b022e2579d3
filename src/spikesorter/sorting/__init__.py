"""The sorter: fitting, adaptation, sorting, forecasts and streams."""
