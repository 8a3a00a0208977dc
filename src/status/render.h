// Three renderings of the same structs. Pure.
#pragma once

#include <string>
#include <vector>

#include "status/snapshot.h"

namespace outboxfs::status {

// For a terminal: a few lines about the mount and a table of files. Ends with a line end.
std::string RenderText(const Snapshot& snapshot);
// One JSON object, indented; keys are documented in docs/SEMANTICS.md. Bytes that are not UTF-8 are
// replaced.
std::string RenderJson(const Snapshot& snapshot);
// Prometheus' text format.
std::string RenderMetrics(const Snapshot& snapshot);
// The metrics of several mounts as one text: the format wants all lines of a metric together.
std::string MergeMetrics(const std::vector<std::string>& texts);

}  // namespace outboxfs::status
