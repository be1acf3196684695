/* CRC-32 of IEEE 802.3, with the conventions of zlib: crc32_update(0, ...) starts, and results can be continued. */
#ifndef CRC32_H
#define CRC32_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, size_t n);

#endif
