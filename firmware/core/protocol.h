/* Numbers of the board protocol, version 2: docs/protocol.md. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

enum {
    PROTOCOL_VERSION = 2,
    FRAME_MAGIC_0 = 0xc5,
    FRAME_MAGIC_1 = 0x1f,
    FRAME_HEADER_SIZE = 16,
    FRAME_CHECK_SIZE = 4,
    FRAME_OVERHEAD = FRAME_HEADER_SIZE + FRAME_CHECK_SIZE,

    BITSTREAM_CAPACITY = 104090, /* iCE40UP5K, as icepack writes it */
    EVALUATE_MAX = 104960,
    REQUEST_MAX = 1024,
    EVALUATE_FIXED = 8,
    DIFFERENCE_FIXED = 8, /* in front of a difference: its base, and the CRC-32 of what it makes */
    PARAMETERS_MAX = 256,
    RESULT_FIXED = 28,
    REPLY_MAX = 4096, /* of the replies of this firmware; the protocol allows 65,536 */
    TEXT_MAX = 200,
    SERIAL_SIZE = 16,
    COUNTED_MAX = 8, /* pins at a time */
    SLOWER_MAX = 16, /* so that the longest load takes half of its time limit */
    CLOCK_DEFAULT_MHZ = 48, /* at the FPGA's pin 35, as the firmware that existing circuits were made for has it */
};

enum message_type {
    MSG_HELLO = 0x01,
    MSG_STATUS = 0x02,
    MSG_EVALUATE = 0x03,
    MSG_CANCEL = 0x04,
    MSG_REBOOT = 0x05,
    MSG_TEST = 0x06,
    MSG_APPLICATION_FIRST = 0x40,
    MSG_APPLICATION_LAST = 0x7f,
    MSG_REPLY = 0x80, /* or-ed to the type of the request */
    MSG_FAILED = 0x90,
    MSG_NAK = 0x91,
    MSG_LOG = 0x92,
};

enum log_level { LEVEL_DEBUG = 10, LEVEL_INFO = 20, LEVEL_WARNING = 30, LEVEL_ERROR = 40 };

enum encoding { ENCODING_RAW = 0, ENCODING_LZ4 = 1, ENCODING_DIFFERENCE = 2 };

enum failure {
    FAILED_NONE = 0,
    FAILED_BAD_LENGTH = 1,
    FAILED_BAD_ENCODING = 2,
    FAILED_BAD_LZ4 = 3,
    FAILED_BAD_PARAMETERS = 4,
    FAILED_NOT_SUPPORTED = 5,
    FAILED_CDONE = 6,
    FAILED_WATCHDOG = 7,
    FAILED_CANCELLED = 8,
    FAILED_NOT_MEASURED = 9,
    FAILED_UNKNOWN_BASE = 10,
    FAILED_BAD_DIFFERENCE = 11,
};

/* How a result came to be. Real boards measure; virtual ones say which of the rest it was. */
enum origin { ORIGIN_MEASURED = 0, ORIGIN_SIMULATED = 1, ORIGIN_EXTRAPOLATED = 2, ORIGIN_LANDSCAPE = 3 };

enum nak {
    NAK_NONE = 0,
    NAK_CORRUPT = 1,
    NAK_TOO_LONG = 2,
    NAK_TRUNCATED = 3,
    NAK_DUPLICATE = 4,
    NAK_BAD_FLAGS = 5,
};

/* Time limits, microseconds. */
enum {
    FRAME_GAP_US = 1000000,
    LOAD_LIMIT_US = 1000000,
    MEASURE_MARGIN_US = 1000000,
};

#endif
