"""The forecast on trial: windows on data of several shapes, each forecast before it began."""
