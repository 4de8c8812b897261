// The C client library of PostgreSQL, as Swift sees it; pkg-config libpq names the folder of the header.
#ifndef CPOSTGRES_H
#define CPOSTGRES_H

#include <libpq-fe.h>

#endif
