#include "server/namespace_service.h"

#include <cctype>
#include <cerrno>
#include <utility>

#include "common/clock.h"
#include "server/convert.h"
#include "server/path.h"

namespace outboxfs::server {
namespace {

using clouddrive::FileOperationResult;
using clouddrive::FileSystemChange;

grpc::Status ToGrpc(const Error& error) {
  switch (error.code) {
    case ENOENT:
      return {grpc::StatusCode::NOT_FOUND, error.text};
    case EINVAL:
    case ENOTDIR:
      return {grpc::StatusCode::INVALID_ARGUMENT, error.text};
    case EPERM:
      return {grpc::StatusCode::UNIMPLEMENTED, error.text};
    default:
      return {grpc::StatusCode::INTERNAL, error.text};
  }
}

void Answer(const Status& status, FileOperationResult* reply) {
  reply->set_success(status.has_value());
  if (!status) reply->set_errormessage(status.error().text);
}

std::string PercentEncode(const std::string& text) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

MoveConflict ConflictOf(const clouddrive::MoveFileRequest& request) {
  if (!request.has_conflictpolicy()) return MoveConflict::kRefuse;
  using Policy = clouddrive::MoveFileRequest;
  if (request.conflictpolicy() == Policy::Overwrite) return MoveConflict::kOverwrite;
  if (request.conflictpolicy() == Policy::Rename) return MoveConflict::kRename;
  if (request.conflictpolicy() == Policy::Skip) return MoveConflict::kSkip;
  return MoveConflict::kRefuse;
}

}  // namespace

std::string LinkText(const std::string& path, int64_t expires) {
  return std::to_string(expires) + " " + path;
}

std::vector<Entry> NamespaceService::PendingIn(const std::string& folder) const {
  std::vector<Entry> entries;
  if (!knobs_.Get()->pending_entries || !running_) return entries;
  for (const clouddrive::UploadFileInfo& info : running_()) {
    if (ParentOf(info.destpath()) != folder || store_.Find(info.destpath())) continue;
    Entry entry;
    entry.path = info.destpath();
    entry.id = "pending-" + info.key();
    entry.size = info.size();
    entry.pending = true;
    entry.created_ns = entry.modified_ns = RealClock().WallNs();
    entries.push_back(std::move(entry));
  }
  return entries;
}

grpc::Status NamespaceService::List(const clouddrive::ListSubFileRequest& request,
                                    grpc::ServerWriter<clouddrive::SubFilesReply>* writer) {
  const Result<std::string> folder = NormalizePath(request.path());
  if (!folder) return ToGrpc(folder.error());
  const auto knobs = knobs_.Get();
  const auto write = [&](std::vector<Entry> entries) {
    clouddrive::SubFilesReply reply;
    for (Entry& entry : entries) {
      const std::optional<Entry> shown = recent_.Shown(std::move(entry));
      if (shown) *reply.add_subfiles() = ToFile(*shown, *knobs);
    }
    return writer->Write(reply);
  };
  const Status listed = store_.List(*folder, knobs->list_batch, write);
  if (!listed) return ToGrpc(listed.error());
  if (std::vector<Entry> pending = PendingIn(*folder); !pending.empty()) write(std::move(pending));
  return grpc::Status::OK;
}

grpc::Status NamespaceService::Find(const clouddrive::FindFileByPathRequest& request,
                                    clouddrive::CloudDriveFile* reply) {
  const Result<std::string> path = NormalizePath(request.parentpath() + "/" + request.path());
  if (!path) return ToGrpc(path.error());
  const auto knobs = knobs_.Get();
  if (*path == "/") {
    *reply = RootFile(*knobs);
    return grpc::Status::OK;
  }
  Result<Entry> entry = store_.Find(*path);
  if (!entry) return ToGrpc(entry.error());
  const std::optional<Entry> shown = recent_.Shown(std::move(*entry));
  if (!shown) return {grpc::StatusCode::NOT_FOUND, "file not found"};
  *reply = ToFile(*shown, *knobs);
  return grpc::Status::OK;
}

grpc::Status NamespaceService::CreateFolder(const clouddrive::CreateFolderRequest& request,
                                            clouddrive::CreateFolderResult* reply) {
  const Result<std::string> parent = NormalizePath(request.parentpath());
  const Status name = CheckName(request.foldername());
  const auto knobs = knobs_.Get();
  if (parent && *parent == "/" && knobs->virtual_root) {
    return {grpc::StatusCode::UNIMPLEMENTED, "create_folder is not supported"};
  }
  if (!parent || !name || !NormalizePath(JoinPath(*parent, request.foldername())) ||
      IsRefused(*knobs, request.foldername())) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "invalid name"};
  }
  const Result<Entry> made = store_.CreateFolder(*parent, request.foldername());
  Answer(made ? Status() : Status(Fail(made.error())), reply->mutable_result());
  if (!made) return grpc::Status::OK;
  reply->mutable_result()->add_resultfilepaths(made->path);
  *reply->mutable_foldercreated() = ToFile(*made, *knobs);
  auto message = ChangeMessage(FileSystemChange::CREATE, made->path, true);
  *message.mutable_filesystemchange()->mutable_thefile() = ToFile(*made, *knobs);
  PushChange(message);
  return grpc::Status::OK;
}

Result<std::string> NamespaceService::Changeable(const std::string& path) const {
  Result<std::string> clean = NormalizePath(path);
  if (!clean) return clean;
  if (*clean == "/" || (knobs_.Get()->virtual_root && ParentOf(*clean) == "/")) {
    return Fail(EPERM, "the root folder cannot be changed");
  }
  return clean;
}

Result<std::string> NamespaceService::RenameOne(const clouddrive::RenameFileRequest& request) {
  const Result<std::string> path = Changeable(request.thefilepath());
  if (!path) return Fail(path.error());
  if (Status name = CheckName(request.newname()); !name) return Fail(name.error());
  if (IsRefused(*knobs_.Get(), request.newname())) return Fail(EINVAL, "invalid name");
  const Result<std::string> target = NormalizePath(JoinPath(ParentOf(*path), request.newname()));
  if (!target) return Fail(target.error());
  Result<std::string> renamed = store_.Rename(*path, request.newname());
  if (renamed) PushRename(*path, *renamed);
  return renamed;
}

void NamespaceService::Rename(const std::vector<clouddrive::RenameFileRequest>& requests,
                              FileOperationResult* reply) {
  for (const auto& request : requests) {
    const Result<std::string> renamed = RenameOne(request);
    if (!renamed) {
      Answer(Fail(renamed.error()), reply);
      return;
    }
    reply->add_resultfilepaths(*renamed);
  }
  Answer({}, reply);
}

void NamespaceService::Move(const clouddrive::MoveFileRequest& request,
                            FileOperationResult* reply) {
  const Result<std::string> folder = NormalizePath(request.destpath());
  if (!folder || (*folder == "/" && knobs_.Get()->virtual_root)) {
    Answer(Fail(EPERM, "invalid target folder"), reply);
    return;
  }
  for (const std::string& from : request.thefilepaths()) {
    const Result<std::string> path = Changeable(from);
    if (!path) {
      Answer(Fail(path.error()), reply);
      return;
    }
    const auto moved = store_.Move(*path, *folder, ConflictOf(request));
    if (!moved) {
      Answer(Fail(moved.error()), reply);
      return;
    }
    if (!moved->has_value()) continue;
    reply->add_resultfilepaths(**moved);
    PushRename(*path, **moved);
  }
  Answer({}, reply);
}

Status NamespaceService::DeleteOne(const std::string& path) {
  const Result<std::string> clean = Changeable(path);
  if (!clean) return Fail(clean.error());
  const Result<Entry> entry = store_.Find(*clean);
  if (!entry) return Fail(entry.error());
  Status gone = store_.Delete(*clean);
  if (gone) PushChange(ChangeMessage(FileSystemChange::DELETE, *clean, entry->is_directory));
  return gone;
}

void NamespaceService::Delete(const std::vector<std::string>& paths, FileOperationResult* reply) {
  for (const std::string& path : paths) {
    if (Status gone = DeleteOne(path); !gone) {
      Answer(gone, reply);
      return;
    }
    reply->add_resultfilepaths(path);
  }
  Answer({}, reply);
}

grpc::Status NamespaceService::GetSpace(const clouddrive::FileRequest& request,
                                        clouddrive::SpaceInfo* reply) {
  const Result<std::string> path = NormalizePath(request.path());
  if (!path) return ToGrpc(path.error());
  const Result<Space> space = store_.GetSpace();
  if (!space) return ToGrpc(space.error());
  reply->set_totalspace(static_cast<int64_t>(space->total));
  reply->set_freespace(static_cast<int64_t>(space->free));
  reply->set_usedspace(static_cast<int64_t>(space->total - space->free));
  return grpc::Status::OK;
}

grpc::Status NamespaceService::GetLink(const clouddrive::GetDownloadUrlPathRequest& request,
                                       clouddrive::DownloadUrlPathInfo* reply) {
  const Result<std::string> path = NormalizePath(request.path());
  if (!path) return ToGrpc(path.error());
  const Result<Entry> entry = store_.Find(*path);
  if (!entry) return ToGrpc(entry.error());
  if (entry->is_directory) return {grpc::StatusCode::INVALID_ARGUMENT, "not a file"};
  int64_t expires = 0;
  if (const Millis lifetime = knobs_.Get()->link_lifetime; lifetime.count() > 0) {
    expires = RealClock().WallNs() / 1'000'000 + lifetime.count();
    reply->set_expiresin(static_cast<uint64_t>((lifetime.count() + 999) / 1000));
  }
  const std::string query =
      "?expires=" + std::to_string(expires) + "&sign=" + auth_.SignLink(LinkText(*path, expires));
  const std::string tail = "/" + PercentEncode(*path) + query;
  reply->set_downloadurlpath("/static/{SCHEME}/{HOST}/{PREVIEW}" + tail);
  if (!direct_address_.empty()) {
    reply->set_directurl(direct_address_ + "/static/direct/direct/false" + tail);
  }
  return grpc::Status::OK;
}

void NamespaceService::PushChange(const clouddrive::CloudDrivePushMessage& message) {
  if (knobs_.Get()->push_changes) push_.Send(message);
}

void NamespaceService::PushRename(const std::string& from, const std::string& to) {
  const Result<Entry> entry = store_.Find(to);
  if (!entry) return;
  auto message = ChangeMessage(FileSystemChange::RENAME, from, entry->is_directory);
  message.mutable_filesystemchange()->set_newpath(to);
  *message.mutable_filesystemchange()->mutable_thefile() = ToFile(*entry, *knobs_.Get());
  PushChange(message);
}

}  // namespace outboxfs::server
