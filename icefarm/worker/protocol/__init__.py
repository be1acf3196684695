"""The board protocol over the serial port: frames, messages, the pipeline.

Look here for bytes between worker and board.
"""
