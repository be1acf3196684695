"""What boards differ by: readings of reference circuits, calibrations made of them, and corrected values.

Pure.  docs/calibration.md has the formulas.  `records` are the shapes, `estimation` makes a calibration of readings,
`steps` says where it has to begin anew, `correction` applies one, `suspects` finds boards that are unlike the others or
unlike themselves, and `between_boards` says how far a circuit's values spread.
"""
