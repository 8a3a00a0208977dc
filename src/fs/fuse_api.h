// The low-level libfuse interface in the version that we code against. Compiles with 3.14 too,
// where there is no passthrough.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)
#endif

#include <fuse_lowlevel.h>
