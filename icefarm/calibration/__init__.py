"""What boards differ by: readings of reference circuits, calibrations made of them, and corrected values.

Pure.  docs/calibration.md has the formulas.  `records` are the shapes, `estimation` makes a calibration of readings,
`correction` applies one, `suspects` finds boards that are unlike the others or unlike themselves.
"""
