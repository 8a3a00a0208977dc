// What an unmount left for the next start, in words. Pure.
#pragma once

#include <string>

#include "status/snapshot.h"

namespace outboxfs::cli {

bool IsNothing(const status::Summary& left);
// One line: "everything is uploaded", or how much is not and where it stays.
std::string DescribeLeft(const status::Summary& left);
// A line for each stuck item that the summary names, with its reason.
std::string DescribeStuck(const status::Summary& left);
// A line for each item that the summary names, whether it waits or is stuck.
std::string NameLeft(const status::Summary& left);

}  // namespace outboxfs::cli
