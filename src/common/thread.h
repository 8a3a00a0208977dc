// A named std::jthread with all signals blocked: signals are taken by one thread only (the mount
// session's), never by a worker in the middle of its work.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <thread>

namespace outboxfs {

// `name` is shown by ps and gdb; the kernel keeps its first 15 bytes. The returned thread requests
// stop and joins when destroyed.
std::jthread StartThread(std::string name, std::function<void(std::stop_token)> body);

}  // namespace outboxfs
