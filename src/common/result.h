// Result<T>: a value or an Error; Status: nothing or an Error. A subclass of tl::expected only
// because a plain tl::expected may be dropped without a warning.
#pragma once

#include <tl/expected.hpp>
#include <utility>

#include "common/error.h"

namespace outboxfs {

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

// `return Fail(ENOENT, "no such item");`
inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }
inline tl::unexpected<Error> Fail(int code, std::string_view text, Retry retry = Retry::kBackoff) {
  return tl::unexpected<Error>(Error{code, retry, std::string(text)});
}
// The errno `code` of the system call that `what` names.
inline tl::unexpected<Error> FailErrno(int code, std::string_view what) {
  return tl::unexpected<Error>(Error::FromErrno(code, what));
}

}  // namespace outboxfs
