// Precompiled for the tests.
#ifndef OUTBOXFS_TESTS_PCH_H
#define OUTBOXFS_TESTS_PCH_H

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "pch/std.h"
#endif
