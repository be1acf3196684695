"""How boards differ: readings, calibrations and corrected values.  Look here for a formula of docs/calibration.md.

Pure.  `records` are the shapes, `estimation` makes a calibration from readings, `steps` finds where it has to restart,
`correction` applies one, `suspects` finds boards that measure unlike the others or unlike their own past, and
`between_boards` says how far a circuit's values spread.
"""
