// What gRPC itself can carry here: unary RemoteReadData calls against a service in another process
// that drops the bytes. The upload speed of outboxfs is printed as a ratio to the best of these.
// Prints one JSON array: {"chunk", "in_flight", "mb_per_s", "cpu_s_per_gib"} each.
//
//   raw_grpc [TOTAL_MIB]
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "clouddrive.grpc.pb.h"

namespace {

constexpr uint64_t kMiB = 1 << 20;

class NullService final : public clouddrive::CloudDriveFileSrv::Service {
 public:
  grpc::Status RemoteReadData(grpc::ServerContext*, const clouddrive::RemoteReadDataUpload* request,
                              clouddrive::RemoteReadDataReply* reply) override {
    reply->set_success(true);
    reply->set_bytes_received(request->data().size());
    return grpc::Status::OK;
  }
};

// Writes its port to `port_fd`, then serves until killed.
void Serve(int port_fd) {
  NullService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (::write(port_fd, &port, sizeof(port)) != sizeof(port)) return;
  server->Wait();
}

// The null server in a child process, made before this process first touches gRPC.
class ServerProcess {
 public:
  ServerProcess() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      Serve(ends[1]);
      ::_exit(1);
    }
    ::close(ends[1]);
    const bool told = pid_ > 0 && ::read(ends[0], &port_, sizeof(port_)) == sizeof(port_);
    ::close(ends[0]);
    if (!told) throw std::runtime_error("the null server did not start");
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

double CpuSeconds() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Sends chunks until the shared counter of remaining ones is used up.
void Send(clouddrive::CloudDriveFileSrv::Stub& stub, uint64_t chunk, std::atomic<int64_t>& left) {
  const std::string bytes(chunk, 'x');
  clouddrive::RemoteReadDataUpload request;
  clouddrive::RemoteReadDataReply reply;
  while (left.fetch_sub(1) > 0) {
    request.set_upload_id("raw");
    request.set_length(chunk);
    request.set_data(bytes.data(), bytes.size());
    grpc::ClientContext context;
    const grpc::Status status = stub.RemoteReadData(&context, request, &reply);
    if (!status.ok()) throw std::runtime_error(status.error_message());
  }
}

void Measure(clouddrive::CloudDriveFileSrv::Stub& stub, uint64_t total, uint64_t chunk,
             int in_flight) {
  std::atomic<int64_t> left = static_cast<int64_t>(total / chunk);
  const double cpu = CpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> senders;
    senders.reserve(in_flight);
    for (int i = 0; i < in_flight; ++i) senders.emplace_back([&] { Send(stub, chunk, left); });
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf(
      "{\"chunk\": %llu, \"in_flight\": %d, \"mb_per_s\": %.1f, \"cpu_s_per_gib\": "
      "%.3f}",
      static_cast<unsigned long long>(chunk), in_flight,
      static_cast<double>(total) / 1e6 / took.count(),
      (CpuSeconds() - cpu) / (static_cast<double>(total) / (1024.0 * kMiB)));
}

}  // namespace

int main(int argc, char** argv) try {
  const uint64_t total = (argc > 1 ? std::stoul(argv[1]) : 1024) * kMiB;
  const ServerProcess server;
  const auto stub = clouddrive::CloudDriveFileSrv::NewStub(
      grpc::CreateChannel(server.Address(), grpc::InsecureChannelCredentials()));
  const char* separator = "[";
  for (const uint64_t chunk : {64 * 1024UL, 256 * 1024UL, 1024 * 1024UL}) {
    for (const int in_flight : {1, 2, 4, 8}) {
      std::printf("%s", separator);
      Measure(*stub, total, chunk, in_flight);
      std::fflush(stdout);
      separator = ",\n ";
    }
  }
  std::printf("]\n");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "raw_grpc: %s\n", error.what());
  return 1;
}
