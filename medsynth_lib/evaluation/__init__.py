"""How good are the samples: measures with floors, the report, cards, and data sets to share."""
