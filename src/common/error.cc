#include "common/error.h"

#include <system_error>

namespace outboxfs {

std::string_view ToString(Retry retry) {
  switch (retry) {
    case Retry::kBackoff:
      return "backoff";
    case Retry::kPauseAll:
      return "pause-all";
    case Retry::kPark:
      return "park";
  }
  return "?";
}

Error Error::FromErrno(int code, std::string_view what) {
  return Error{code, Retry::kBackoff,
               std::string(what) + ": " + std::generic_category().message(code)};
}

Error& Error::Prepend(std::string_view context) {
  text.insert(0, std::string(context) + ": ");
  return *this;
}

}  // namespace outboxfs
