"""Find units without labels: events, groups of events, and the units that explain a recording best."""
