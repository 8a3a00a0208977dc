#include "fs/node_table.h"

#include <cstdlib>

#include "common/log.h"
#include "fs/names.h"

namespace outboxfs::fs {

NodeTable::NodeTable(cache::Ino root_ino)
    : root_(std::make_shared<Node>(root_ino, cache::ItemKind::kDir)) {
  root_->links.linked = true;
  root_->links.lookups = 1;  // the kernel never looks the root up
  MutexLock lock(mu_);
  nodes_.emplace(root_ino, root_);
}

// Parents and children hold each other.
NodeTable::~NodeTable() {
  MutexLock lock(mu_);
  for (const auto& [ino, node] : nodes_) {
    node->links.children.clear();
    node->links.parent.reset();
  }
}

NodePtr NodeTable::Get(cache::Ino ino) const {
  MutexLock lock(mu_);
  const auto found = nodes_.find(ino);
  return found == nodes_.end() ? nullptr : found->second;
}

NodePtr NodeTable::Child(const NodePtr& parent, std::string_view name) const {
  MutexLock lock(mu_);
  const auto found = parent->links.children.find(name);
  return found == parent->links.children.end() ? nullptr : found->second;
}

NodePtr NodeTable::Find(std::string_view path) const {
  MutexLock lock(mu_);
  NodePtr node = root_;
  size_t at = 1;
  while (at < path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const auto found = node->links.children.find(path.substr(at, slash - at));
    if (found == node->links.children.end()) return nullptr;
    node = found->second;
    at = slash + 1;
  }
  return node;
}

std::optional<std::string> NodeTable::PathOf(const NodePtr& node) const {
  MutexLock lock(mu_);
  if (node == root_) return "/";
  std::vector<const Node*> chain;
  size_t length = 0;
  for (const Node* at = node.get(); at != root_.get(); at = at->links.parent.get()) {
    if (!at->links.linked) return std::nullopt;
    length += at->links.name.size() + 1;
    chain.push_back(at);
  }
  std::string path;
  path.reserve(length);
  for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
    path += '/';
    path += (*at)->links.name;
  }
  return path;
}

NodePtr NodeTable::ParentOf(const NodePtr& node) const {
  MutexLock lock(mu_);
  return node->links.linked ? node->links.parent : nullptr;
}

std::vector<std::pair<std::string, NodePtr>> NodeTable::NamesIn(const NodePtr& parent) const {
  MutexLock lock(mu_);
  return {parent->links.children.begin(), parent->links.children.end()};
}

std::vector<NodePtr> NodeTable::All() const {
  MutexLock lock(mu_);
  std::vector<NodePtr> all;
  all.reserve(nodes_.size());
  for (const auto& [ino, node] : nodes_) all.push_back(node);
  return all;
}

NodePtr NodeTable::LinkAndCount(const NodePtr& parent, const std::string& name, cache::Ino ino,
                                cache::ItemKind kind, bool proposal) {
  MutexLock lock(mu_);
  if (const auto had = parent->links.children.find(name);
      proposal && had != parent->links.children.end() && had->second->kind == kind) {
    ++had->second->links.lookups;
    return had->second;
  }
  NodePtr& node = nodes_[ino];
  if (!node) node = std::make_shared<Node>(ino, kind);
  NodePtr result = node;
  Node::Links& links = result->links;
  ++links.lookups;
  if (links.linked && links.parent == parent && links.name == name) return result;
  if (links.linked) DetachLocked(result);
  AttachLocked(result, parent, name);
  return result;
}

void NodeTable::Forget(cache::Ino ino, uint64_t count) {
  MutexLock lock(mu_);
  const auto found = nodes_.find(ino);
  if (found == nodes_.end() || found->second->links.lookups < count) {
    Log::Error("inode {}: forgotten {} times more often than looked up", ino, count);
    std::abort();
  }
  if (found->second == root_) return;
  found->second->links.lookups -= count;
  DropIfUnknownLocked(found->second);
}

bool NodeTable::Unlink(const NodePtr& parent, std::string_view name) {
  MutexLock lock(mu_);
  const auto found = parent->links.children.find(name);
  if (found == parent->links.children.end()) return false;
  const NodePtr node = found->second;
  DetachLocked(node);
  DropIfUnknownLocked(node);
  return true;
}

void NodeTable::Move(const NodePtr& from_dir, std::string_view from, const NodePtr& to_dir,
                     const std::string& to) {
  MutexLock lock(mu_);
  const auto found = from_dir->links.children.find(from);
  const NodePtr node = found == from_dir->links.children.end() ? nullptr : found->second;
  if (node) {
    DetachLocked(node);
    AttachLocked(node, to_dir, to);
  } else if (const auto old = to_dir->links.children.find(to);
             old != to_dir->links.children.end()) {
    const NodePtr target = old->second;
    DetachLocked(target);
    DropIfUnknownLocked(target);
  }
}

size_t NodeTable::size() const {
  MutexLock lock(mu_);
  return nodes_.size();
}

void NodeTable::DetachLocked(const NodePtr& node) {
  const NodePtr parent = node->links.parent;
  parent->links.children.erase(node->links.name);
  node->links.linked = false;
}

void NodeTable::AttachLocked(const NodePtr& node, const NodePtr& parent, const std::string& name) {
  NodePtr& place = parent->links.children[name];
  const NodePtr old = std::exchange(place, node);
  if (old) old->links.linked = false;
  const NodePtr old_parent = std::exchange(node->links.parent, parent);
  node->links.name = name;
  node->links.linked = true;
  if (old) DropIfUnknownLocked(old);
  if (old_parent && old_parent != parent) DropIfUnknownLocked(old_parent);
}

void NodeTable::DropIfUnknownLocked(NodePtr node) {
  while (node && node != root_ && node->links.lookups == 0 && node->links.children.empty()) {
    const NodePtr parent = node->links.parent;
    if (node->links.linked) DetachLocked(node);
    nodes_.erase(node->ino);
    node = parent;
  }
}

}  // namespace outboxfs::fs
