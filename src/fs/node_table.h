// Inode number <-> node, the names between them, and the kernel's lookup counts. Thread-safe; its
// lock is a leaf, so FORGET touches nothing else.
//
// INVARIANT: a node is in the table while its lookup count is above zero, or it has children here.
// An unlinked node stays as long, without a name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/mutex.h"
#include "fs/node.h"

namespace outboxfs::fs {

class NodeTable {
 public:
  explicit NodeTable(cache::Ino root_ino);
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  const NodePtr& root() const { return root_; }
  // nullptr: the kernel was never told, or has forgotten it.
  NodePtr Get(cache::Ino ino) const ABSL_LOCKS_EXCLUDED(mu_);
  NodePtr Child(const NodePtr& parent, std::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);
  // The node at a mount path, if every name on the way is known here.
  NodePtr Find(std::string_view path) const ABSL_LOCKS_EXCLUDED(mu_);
  // nullopt: unlinked, or inside something unlinked.
  std::optional<std::string> PathOf(const NodePtr& node) const ABSL_LOCKS_EXCLUDED(mu_);
  // nullptr: unlinked or the root.
  NodePtr ParentOf(const NodePtr& node) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::pair<std::string, NodePtr>> NamesIn(const NodePtr& parent) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // Every node, in no order.
  std::vector<NodePtr> All() const ABSL_LOCKS_EXCLUDED(mu_);

  // The node `ino` under that name, made if it is new, with one lookup more. Another node that had
  // the name loses it; unless `ino` is only a proposal and that node is of the same kind: then that
  // one is returned.
  NodePtr LinkAndCount(const NodePtr& parent, const std::string& name, cache::Ino ino,
                       cache::ItemKind kind, bool proposal = false) ABSL_LOCKS_EXCLUDED(mu_);
  // FORGET. Dies when the kernel gives back more than it got: the table would be wrong from then
  // on.
  void Forget(cache::Ino ino, uint64_t count) ABSL_LOCKS_EXCLUDED(mu_);
  // The name is gone; the node stays while it is open or known. False: there was none.
  bool Unlink(const NodePtr& parent, std::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // A node at the target loses its name.
  void Move(const NodePtr& from_dir, std::string_view from, const NodePtr& to_dir,
            const std::string& to) ABSL_LOCKS_EXCLUDED(mu_);

  size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void DetachLocked(const NodePtr& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AttachLocked(const NodePtr& node, const NodePtr& parent, const std::string& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Drops `node`, and then its parents, as far as nobody knows them any more.
  void DropIfUnknownLocked(NodePtr node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const NodePtr root_;
  mutable Mutex mu_;
  std::unordered_map<cache::Ino, NodePtr> nodes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::fs
