// "Did you mean …": the known word that is nearest to a mistyped one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace outboxfs::cli {

// Empty when none is near enough to be helpful.
std::string Nearest(std::string_view word, const std::vector<std::string>& known);
// " (did you mean PREFIXword?)" or nothing; to be put behind an error text.
std::string DidYouMean(std::string_view word, const std::vector<std::string>& known,
                       std::string_view prefix = "");

}  // namespace outboxfs::cli
