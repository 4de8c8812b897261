// zlib's own header, and the one macro that Swift cannot import as a function.
#ifndef CZLIB_H
#define CZLIB_H

#include <zlib.h>

static inline int czlib_inflate_init(z_stream *stream, int window_bits) {
    return inflateInit2(stream, window_bits);
}

#endif
