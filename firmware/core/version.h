/* The firmware's version, in every image and in the answer to HELLO. The only place that states it. */
#ifndef VERSION_H
#define VERSION_H

#define FIRMWARE_VERSION "1.2.0"

#endif
