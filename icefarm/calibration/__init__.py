"""How boards differ: readings of reference circuits, calibrations from them, and corrected values.

Pure.  docs/calibration.md has the formulas.  `records` are the shapes, `estimation` makes a calibration of readings,
`steps` finds where it has to restart, `correction` applies one, `suspects` finds boards that are unlike the others or
unlike themselves, and `between_boards` says how far a circuit's values spread.
"""
