// What a start makes of what a killed daemon left. The daemon is a child process that ends by
// SIGKILL at the point that the test chose.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "common/disk.h"
#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class RecoveryTest : public ::testing::Test {
 protected:
  using Life = std::function<bool(Store&)>;  // false: something failed

  std::string Cache() const { return directory_.path() + "/cache"; }

  // A daemon that opens the cache, does `life` and is killed.
  void LiveAndDie(const Life& life) {
    ASSERT_EQ(nullptr, store_) << "one owner at a time";
    const pid_t child = ::fork();
    if (child == 0) {
      auto store = Store::Open({Cache()}, RealClock());
      if (!store || !life(**store)) ::_exit(1);
      ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(child, ::waitpid(child, &status, 0));
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed before its end";
  }

  void Open() {
    auto store = Store::Open({Cache()}, RealClock());
    ASSERT_TRUE(store.has_value()) << store.error().text;
    store_ = std::move(*store);
  }
  Error OpenError() {
    auto store = Store::Open({Cache()}, RealClock());
    return store ? Error{} : store.error();
  }

  void Sql(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(SQLITE_OK, sqlite3_open((Cache() + "/journal.db").c_str(), &db));
    EXPECT_EQ(SQLITE_OK, sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr))
        << sqlite3_errmsg(db);
    sqlite3_close(db);
  }

  static ItemId Create(Store& store, const std::string& path) {
    const auto item = store.CreateFile(path, store.NewIno(), {0640, 7, 8, 1, 2, 3});
    return item ? item->id : 0;
  }
  static bool Write(Store& store, ItemId id, const std::string& text) {
    auto pin = store.PinFile(id, true);
    return pin && (*pin)->Write(Bytes(text), 0);
  }
  static bool WriteAndSeal(Store& store, const std::string& path, const std::string& text) {
    const ItemId id = Create(store, path);
    return Write(store, id, text) && store.MarkClosed(id) && store.EndWrite(id, true) &&
           Await([&] { return store.Get(id)->state == State::kWaiting; });
  }

  Item At(const std::string& path) { return store_->Lookup(path).item; }
  bool AwaitState(const std::string& path, State state) {
    return Await([&] { return At(path).state == state; });
  }
  std::string Read(ItemId id) {
    auto pin = store_->PinFile(id, false);
    if (!pin) return pin.error().text;
    std::string text((*pin)->Stat()->st_size, '\0');
    const auto got = (*pin)->Read(std::as_writable_bytes(std::span(text)), 0);
    return got ? text : got.error().text;
  }
  std::string Backing(ItemId id) const {
    char path[64];
    snprintf(path, sizeof(path), "/staged/%02x/%016llx", static_cast<unsigned>(id >> 8) & 0xff,
             static_cast<unsigned long long>(id));
    return Cache() + path;
  }

  TempDir directory_;
  std::unique_ptr<Store> store_;
};

TEST_F(RecoveryTest, AFileWhoseCloseHadReturnedIsSealed) {
  LiveAndDie([](Store& store) {
    const ItemId id = Create(store, "/f");
    return Write(store, id, "content") && store.MarkClosed(id);  // FLUSH, but no RELEASE
  });
  Open();
  EXPECT_EQ(1u, store_->recovery().pending);
  ASSERT_TRUE(AwaitState("/f", State::kWaiting));
  EXPECT_EQ("content", Read(At("/f").id));
  EXPECT_EQ(7u, At("/f").attr.uid);
}

TEST_F(RecoveryTest, AFileThatWasBeingWrittenIsKeptAndNotUploadedUntilSomebodySaysSo) {
  LiveAndDie([](Store& store) {
    const ItemId id = Create(store, "/f");
    return Write(store, id, "first") && store.MarkClosed(id) && Write(store, id, "second");
  });
  Open();
  EXPECT_EQ(1u, store_->recovery().interrupted);
  const Item item = At("/f");
  EXPECT_EQ(State::kInterrupted, item.state);
  EXPECT_EQ(6u, item.size);
  EXPECT_NE("", item.reason);
  EXPECT_EQ("second", Read(item.id));
  ASSERT_OK(store_->Retry(item.id));
  ASSERT_TRUE(AwaitState("/f", State::kWaiting));
  EXPECT_EQ("", At("/f").reason);
}

TEST_F(RecoveryTest, AnInterruptedFileIsReleasedByBeingWrittenAgain) {
  LiveAndDie([](Store& store) { return Write(store, Create(store, "/f"), "half"); });
  Open();
  const ItemId id = At("/f").id;
  ASSERT_OK(store_->BeginWrite(id));
  ASSERT_TRUE(Write(*store_, id, "whole"));
  ASSERT_OK(store_->EndWrite(id, true));
  EXPECT_TRUE(AwaitState("/f", State::kWaiting));
}

TEST_F(RecoveryTest, AFileThatWasOnlyOpenedKeepsItsSeal) {
  LiveAndDie([](Store& store) {
    return WriteAndSeal(store, "/f", "content") && store.BeginWrite(store.Lookup("/f").item.id);
  });
  Open();
  EXPECT_EQ(State::kWaiting, At("/f").state);
  EXPECT_EQ(1u, At("/f").generation);
  EXPECT_OK(store_->OpenSealed(At("/f").id, 1));
}

TEST_F(RecoveryTest, AFileClosedButNotSealedIsSealed) {
  LiveAndDie([](Store& store) {
    const ItemId id = Create(store, "/f");
    return Write(store, id, "content") && store.EndWrite(id, true);
  });
  Open();
  ASSERT_TRUE(AwaitState("/f", State::kWaiting));
  EXPECT_EQ("content", Read(At("/f").id));
}

TEST_F(RecoveryTest, AnUploadInFlightIsKnownAgain) {
  LiveAndDie([](Store& store) {
    if (!WriteAndSeal(store, "/f", "content")) return false;
    const ItemId id = store.Lookup("/f").item.id;
    return store.SetDigests(id, 1, {{2, "abc"}}) &&
           store.MarkStarting(id, 1, "/cloud/f", Identity{9, 8, "old one", {{1, "m"}}}) &&
           store.MarkStarted(id, 1, "upload 17");
  });
  Open();
  const Item item = At("/f");
  EXPECT_EQ(State::kUploading, item.state);
  EXPECT_EQ(1u, item.upload_generation);
  EXPECT_EQ("/cloud/f", item.upload_path);
  EXPECT_EQ("upload 17", item.upload_id);
  EXPECT_EQ("abc", item.digests.at(2));
  EXPECT_EQ((Identity{9, 8, "old one", {{1, "m"}}}), item.replaced);
  EXPECT_EQ((Identity{7, 0, "", {{2, "abc"}}}), item.sent);
  EXPECT_OK(store_->OpenSealed(item.id, 1));
}

TEST_F(RecoveryTest, TheLedgerOfServedRangesIsKept) {
  LiveAndDie([](Store& store) {
    if (!WriteAndSeal(store, "/f", "content")) return false;
    const ItemId id = store.Lookup("/f").item.id;
    if (!store.MarkStarting(id, 1, "/cloud/f", std::nullopt)) return false;
    store.MarkServed(id, 1, {4, 7});
    store.MarkServed(id, 1, {100, 100 + (64 << 20)});  // enough to be journalled at once
    return true;
  });
  Open();
  const ItemId id = At("/f").id;
  EXPECT_FALSE(store_->ServedWhole(id, 1));
  store_->MarkServed(id, 1, {0, 4});
  EXPECT_TRUE(store_->ServedWhole(id, 1));
  ASSERT_OK(store_->MarkStarting(id, 1, "/cloud/f", std::nullopt));
  EXPECT_FALSE(store_->ServedWhole(id, 1)) << "another upload has to be served anew";
}

TEST_F(RecoveryTest, WhatWasDoneOrRemovedStaysSo) {
  LiveAndDie([](Store& store) {
    for (const char* path : {"/done", "/removed", "/removing"}) {
      if (!WriteAndSeal(store, path, "x")) return false;
    }
    const ItemId removing = store.Lookup("/removing").item.id;
    return store.MarkDone(store.Lookup("/done").item.id, 1, "/done", {1, 0, "i", {}}) &&
           store.Remove("/removed", false) &&
           store.MarkStarting(removing, 1, "/cloud/removing", std::nullopt) &&
           store.Remove("/removing", true);
  });
  Open();
  EXPECT_EQ(Overlay::Kind::kUploaded, store_->Lookup("/done").kind);
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/removed").kind);
  EXPECT_EQ(Overlay::Kind::kGone, store_->Lookup("/removing").kind);
  const auto all = store_->All();
  ASSERT_EQ(1u, all.size());
  EXPECT_EQ(State::kRemoving, all[0].state);
  EXPECT_EQ("/cloud/removing", all[0].upload_path);
  ASSERT_OK(store_->ForgetRemoved(all[0].id));
  EXPECT_EQ(0u, store_->recovery().lost_found);
}

TEST_F(RecoveryTest, UnknownBytesGoToLostFoundAndEmptyFilesGo) {
  LiveAndDie([](Store& store) { return Create(store, "/f") != 0; });
  const std::string dir = Cache() + "/staged/03";
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/0000000000000301") << "precious";
  std::ofstream(dir + "/0000000000000302");
  std::ofstream(dir + "/not ours") << "x";
  Open();
  EXPECT_EQ(1u, store_->recovery().lost_found);
  std::ifstream kept(Cache() + "/lost+found/0000000000000301");
  std::string text;
  kept >> text;
  EXPECT_EQ("precious", text);
  EXPECT_FALSE(std::filesystem::exists(dir + "/0000000000000302"));
  EXPECT_TRUE(std::filesystem::exists(dir + "/not ours"));
  EXPECT_GT(Create(*store_, "/g"), 0x302u) << "ids are never used again";
}

TEST_F(RecoveryTest, AnItemWithoutItsBytesIsParked) {
  LiveAndDie([](Store& store) { return WriteAndSeal(store, "/f", "content"); });
  Open();
  const ItemId id = At("/f").id;
  store_.reset();
  std::filesystem::remove(Backing(id));
  Open();
  EXPECT_EQ(1u, store_->recovery().missing);
  EXPECT_EQ(State::kParked, At("/f").state);
  EXPECT_NE(std::string::npos, At("/f").reason.find("missing"));
  EXPECT_ERROR(EIO, store_->OpenSealed(id, 1));
}

TEST_F(RecoveryTest, AFileThatAnOldHandleStillWritesToIsNotTakenForClosed) {
  LiveAndDie([](Store& store) {
    const ItemId id = Create(store, "/f");
    return Write(store, id, "content") && store.MarkClosed(id);
  });
  const auto item_id = [&] {
    Open();
    const ItemId id = At("/f").id;
    store_.reset();
    return id;
  };
  // The id is needed first; so let the daemon die again with the file open.
  const ItemId id = item_id();
  LiveAndDie([&](Store& store) {
    return Await([&] { return store.Get(id)->state == State::kWaiting; }) && store.BeginWrite(id) &&
           Write(store, id, "CONTENT") && store.MarkClosed(id);
  });
  const auto foreign = disk::Open(Backing(id), O_RDWR);
  ASSERT_OK(foreign);
  Open();
  EXPECT_EQ(State::kInterrupted, At("/f").state);
  EXPECT_EQ("still written by another process", At("/f").reason);
}

TEST_F(RecoveryTest, AfterAPowerCutOnlyWhatWasSyncedCountsAsClosed) {
  LiveAndDie([](Store& store) {
    const ItemId synced = Create(store, "/synced");
    const ItemId unsynced = Create(store, "/unsynced");
    return Write(store, synced, "a") && store.Sync(synced) && store.MarkClosed(synced) &&
           Write(store, unsynced, "b") && store.MarkClosed(unsynced);
  });
  Sql("UPDATE meta SET value='another boot' WHERE key='boot_id'");
  Open();
  EXPECT_TRUE(AwaitState("/synced", State::kWaiting));
  EXPECT_EQ(State::kInterrupted, At("/unsynced").state);
  EXPECT_EQ("b", Read(At("/unsynced").id));
}

TEST_F(RecoveryTest, ASealedFileThatWasOnlyOpenAtAPowerCutIsNotInterrupted) {
  LiveAndDie([](Store& store) {
    return WriteAndSeal(store, "/f", "content") && store.BeginWrite(store.Lookup("/f").item.id);
  });
  Sql("UPDATE meta SET value='another boot' WHERE key='boot_id'");
  Open();
  EXPECT_TRUE(AwaitState("/f", State::kWaiting)) << At("/f").reason;
  EXPECT_EQ(1u, At("/f").generation) << "the same bytes are no new generation";
}

TEST_F(RecoveryTest, AfterACleanEndAndARebootClosedFilesAreClosed) {
  Open();
  for (int i = 0; i < 20; ++i) {
    const ItemId id = Create(*store_, "/" + std::to_string(i));
    ASSERT_TRUE(Write(*store_, id, "x"));
    ASSERT_OK(store_->EndWrite(id, true));
  }
  store_.reset();
  Sql("UPDATE meta SET value='another boot' WHERE key='boot_id'");
  Open();
  EXPECT_EQ(0u, store_->recovery().interrupted);
  EXPECT_TRUE(Await([&] { return store_->Totals().files_not_durable == 0; }));
}

TEST_F(RecoveryTest, InodeNumbersAreNeverGivenTwice) {
  Open();
  Ino last = 0;
  for (int i = 0; i < 5000; ++i) last = store_->NewIno();
  store_.reset();
  LiveAndDie([last](Store& store) { return store.NewIno() > last; });
  Open();
  EXPECT_GT(store_->NewIno(), last + 1);
}

TEST_F(RecoveryTest, TheDeviceIdStays) {
  Open();
  const std::string id = store_->device_id();
  EXPECT_EQ(32u, id.size());
  store_.reset();
  Open();
  EXPECT_EQ(id, store_->device_id());
}

// ---- Refusals -----------------------------------------------------------------------------

TEST_F(RecoveryTest, ASecondOwnerIsRefusedWithThePidOfTheFirst) {
  Open();
  const Error error = OpenError();
  EXPECT_EQ(EBUSY, error.code);
  EXPECT_NE(std::string::npos, error.text.find(std::to_string(::getpid()))) << error.text;
}

TEST_F(RecoveryTest, TheDirectoryIsPrivate) {
  ::mkdir(Cache().c_str(), 0755);
  Open();
  struct stat st {};
  ASSERT_EQ(0, ::stat(Cache().c_str(), &st));
  EXPECT_EQ(0700u, st.st_mode & 07777);
  const ItemId id = Create(*store_, "/f");
  for (const std::string& file :
       {Backing(id), Cache() + "/journal.db", Cache() + "/journal.db-wal", Cache() + "/lock"}) {
    ASSERT_EQ(0, ::stat(file.c_str(), &st)) << file;
    EXPECT_EQ(0600u, st.st_mode & 07777) << file;
  }
}

TEST_F(RecoveryTest, SomebodyElsesDirectoryIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make one";
  ::mkdir(Cache().c_str(), 0777);
  ASSERT_EQ(0, ::chown(Cache().c_str(), 12345, 12345));
  EXPECT_EQ(EACCES, OpenError().code);
}

TEST_F(RecoveryTest, AJournalOfANewerProgramIsRefused) {
  Open();
  store_.reset();
  Sql("PRAGMA user_version=99");
  EXPECT_EQ(EPROTO, OpenError().code);
}

TEST_F(RecoveryTest, JournalsOfOlderVersionsAreTakenOver) {
  const std::string to_version_2 =
      "ALTER TABLE intents DROP COLUMN remote_from; ALTER TABLE intents DROP COLUMN remote_to;"
      "ALTER TABLE intents DROP COLUMN deferred; PRAGMA user_version=2;";
  const std::string to_version_1 =
      to_version_2 + "ALTER TABLE intents DROP COLUMN closed_ns; PRAGMA user_version=1";
  for (const std::string& sql : {to_version_2, to_version_1}) {
    Open();
    Intent intent{.kind = Intent::Kind::kRename, .folder = "/", .from = "/f", .to = "/g"};
    ASSERT_OK(store_->BeginIntent(intent));
    store_.reset();
    Sql(sql);
    for (int start = 0; start < 2; ++start) {
      Open();
      ASSERT_EQ(1U, store_->Intents().size());
      const Intent read = store_->Intents()[0];
      EXPECT_EQ("/f /g", read.from + " " + read.to);
      EXPECT_EQ("/f /g", read.remote_from + " " + read.remote_to);
      EXPECT_FALSE(read.deferred);
      EXPECT_EQ(Intent::kUnknown, read.closed_ns);
      store_.reset();
    }
    Open();
    ASSERT_OK(store_->DropIntent(store_->Intents()[0].id));
    store_.reset();
  }
}

TEST_F(RecoveryTest, MangledRowsAreRefusedOneByOne) {
  Open();
  ASSERT_TRUE(WriteAndSeal(*store_, "/f", "content"));
  ASSERT_OK(store_->MarkStarting(At("/f").id, 1, "/c", Identity{1, 2, "i", {}}));
  ASSERT_OK(store_->Remember({"/m", 5, ItemKind::kFile, {}, {}, false}));
  ASSERT_OK(store_->Remove("/gone", true));
  store_.reset();
  std::filesystem::copy(Cache() + "/journal.db", directory_.path() + "/good");
  for (const char* sql :
       {"UPDATE items SET state=77", "UPDATE items SET state=-1", "UPDATE items SET kind=9",
        "UPDATE items SET path='relative'", "UPDATE items SET path='/a/../b'",
        "UPDATE items SET path='/'", "UPDATE items SET size=-5", "UPDATE items SET mode=99999",
        "UPDATE items SET uid=-1", "UPDATE items SET flags=256", "UPDATE items SET digests='?'",
        "UPDATE items SET replaced='x y'", "UPDATE items SET id=0", "UPDATE items SET before=55",
        "UPDATE items SET path=x'2f610062'", "UPDATE gone SET path='x'",
        "UPDATE memory SET identity='?'", "UPDATE memory SET name='a/../b'",
        "UPDATE memory SET kind=5"}) {
    std::filesystem::copy(directory_.path() + "/good", Cache() + "/journal.db",
                          std::filesystem::copy_options::overwrite_existing);
    Sql(sql);
    EXPECT_EQ(EIO, OpenError().code) << sql;
  }
  std::filesystem::copy(directory_.path() + "/good", Cache() + "/journal.db",
                        std::filesystem::copy_options::overwrite_existing);
  Open();
  EXPECT_EQ(State::kUploading, At("/f").state);
}

TEST_F(RecoveryTest, AMangledBlockSumIsAnErrorOfThatFileOnly) {
  Open();
  ASSERT_TRUE(WriteAndSeal(*store_, "/f", "content"));
  const ItemId id = At("/f").id;
  store_.reset();
  Sql("UPDATE sums SET blob=x'00112233'");
  Open();
  EXPECT_ERROR(EIO, store_->OpenSealed(id, 1));
  // Written again it is well: the old sums are only compared with.
  ASSERT_OK(store_->BeginWrite(id));
  ASSERT_OK(store_->EndWrite(id, true));
  ASSERT_TRUE(AwaitState("/f", State::kWaiting));
  EXPECT_EQ(2u, At("/f").generation);
  EXPECT_OK(store_->OpenSealed(id, 2));
}

TEST_F(RecoveryTest, ATruncatedJournalIsAnErrorOrAnEarlierStateButNeverACrash) {
  Open();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(Write(*store_, Create(*store_, "/" + std::to_string(i)), "x"));
  }
  store_.reset();
  const std::string journal = Cache() + "/journal.db";
  std::filesystem::copy(journal, directory_.path() + "/good");
  const auto size = std::filesystem::file_size(journal);
  for (uintmax_t length = 0; length < size; length += 1500) {
    std::filesystem::copy(directory_.path() + "/good", journal,
                          std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(journal, length);
    if (const auto store = Store::Open({Cache()}, RealClock())) continue;
  }
  size_t kept = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Cache())) {
    if (entry.is_regular_file() && entry.file_size() == 1) ++kept;
  }
  EXPECT_EQ(40u, kept) << "bytes are never deleted because of the journal";
}

TEST_F(RecoveryTest, GarbageIsNotAJournal) {
  std::filesystem::create_directories(Cache());
  std::ofstream(Cache() + "/journal.db") << std::string(10000, 'g');
  EXPECT_EQ(EIO, OpenError().code);
}

}  // namespace
}  // namespace outboxfs::cache
