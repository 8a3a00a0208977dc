#include "cli/mount_plan.h"

#include <fmt/format.h>

#include <filesystem>

#include "cli/load_config.h"
#include "cli/paths.h"

namespace outboxfs::cli {
namespace {

constexpr std::string_view kEmbedded = "embedded:";

// Relative paths mean the caller's directory; the daemon leaves it.
void MakeAbsolute(std::string& path) {
  std::error_code error;
  if (!path.empty()) path = std::filesystem::absolute(path, error).lexically_normal().string();
}

Status PlanEmbedded(const std::string& dir, MountPlan& plan) {
  if (dir.empty()) return Fail(EINVAL, "embedded: needs a directory, as in embedded:/srv/cloud");
  const Result<std::string> canonical = CanonicalPath(dir);
  if (!canonical) return Fail(canonical.error());
  plan.embedded_dir = *canonical;
  plan.remote_name = std::string(kEmbedded) + *canonical;
  return {};
}

Status PlanServer(const std::string& remote, MountPlan& plan) {
  Result<remote::RemoteSpec> spec = remote::ParseRemote(remote);
  if (!spec) return Fail(spec.error());
  const remote::Endpoint& endpoint = spec->endpoint;
  const bool ipv6 = endpoint.host.find(':') != std::string::npos;
  plan.remote_name = fmt::format("{}{}{}{}:{}{}", endpoint.tls ? "https://" : "", ipv6 ? "[" : "",
                                 endpoint.host, ipv6 ? "]" : "", endpoint.port, spec->folder);
  plan.config.connect.endpoint = endpoint;
  plan.config.mount.remote_folder = spec->folder;
  plan.config.upload.remote_folder = spec->folder;
  return LoadCredentials(plan.config);
}

}  // namespace

Result<MountPlan> PlanMount(const std::string& remote, const std::string& mountpoint, Config config,
                            const Environment& environment) {
  MountPlan plan;
  plan.config = std::move(config);
  for (std::string* path : {&plan.config.cache_dir, &plan.config.log.file, &plan.config.token_file,
                            &plan.config.password_file, &plan.config.connect.ca_file}) {
    MakeAbsolute(*path);
  }
  Status planned = remote.starts_with(kEmbedded)
                       ? PlanEmbedded(remote.substr(kEmbedded.size()), plan)
                       : PlanServer(remote, plan);
  if (!planned) return Fail(planned.error());

  const Result<std::string> canonical = CanonicalPath(mountpoint);
  if (!canonical) return Fail(Error(canonical.error()).Prepend("mountpoint"));
  plan.config.mount.mountpoint = *canonical;
  plan.config.mount.source = plan.remote_name;
  if (plan.config.cache_dir.empty()) {
    Result<std::string> cache_dir = DefaultCacheDir(environment, plan.remote_name);
    if (!cache_dir) return Fail(cache_dir.error());
    plan.config.cache_dir = *cache_dir;
  }
  return plan;
}

}  // namespace outboxfs::cli
