// Attribute memory and extended attributes: what is kept for how long.
#include "store_fixture.h"
#include "support/fake_clock.h"

namespace outboxfs::cache {
namespace {

using Mode = Store::XattrMode;

class MemoryTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kLimit = 1000;
  MemoryTest() { Reopen(); }
  void Reopen() {
    store_.reset();
    auto opened = Store::Open({directory_.path() + "/cache", kLimit}, clock_);
    if (!opened) throw std::runtime_error(opened.error().text);
    store_ = std::move(*opened);
  }
  static std::string Path(uint64_t number) { return "/f" + std::to_string(number); }
  void Remember(uint64_t number, bool confirmed = true) {
    const Identity identity{number, 0, "", {}};
    ASSERT_OK(store_->Remember(
        {Path(number), number + 100, ItemKind::kFile, {.mode = 0600}, identity, confirmed}));
  }
  bool Knows(uint64_t number) const { return store_->Recall(Path(number)).has_value(); }

  TempDir directory_;
  test::FakeClock clock_;
  std::unique_ptr<Store> store_;
};

TEST_F(MemoryTest, BeyondTheLimitTheLeastUsedGo) {
  for (uint64_t i = 0; i < kLimit; ++i) Remember(i);
  EXPECT_TRUE(Knows(0)) << "and so it is used";
  EXPECT_EQ(kLimit, store_->RecallDir("/").size());
  for (uint64_t i = kLimit; i < kLimit + 300; ++i) Remember(i);
  EXPECT_LE(store_->RecallDir("/").size(), kLimit);
  EXPECT_GE(store_->RecallDir("/").size(), kLimit * 98 / 100) << "and not more than must";
  EXPECT_TRUE(Knows(kLimit + 299));
}

TEST_F(MemoryTest, WhatIsAskedForStays) {
  for (uint64_t i = 0; i < 5 * kLimit; ++i) {
    Remember(i);
    ASSERT_TRUE(Knows(0)) << i;
    if (i % kLimit == 0) Reopen();  // the order is known over a restart
  }
  EXPECT_FALSE(Knows(1));
}

TEST_F(MemoryTest, WhatNoListingHasShownYetStays) {
  Remember(1, false);
  for (uint64_t i = 2; i < 3 * kLimit; ++i) Remember(i);
  EXPECT_TRUE(Knows(1));
  EXPECT_EQ(Overlay::Kind::kUploaded, store_->Lookup(Path(1)).kind);
}

TEST_F(MemoryTest, XattrsAreSetReplacedListedAndRemoved) {
  Remember(1);
  const Ino ino = 101;
  EXPECT_ERROR(ENODATA, store_->Xattr(ino, "user.a"));
  EXPECT_ERROR(ENODATA, store_->SetXattr(ino, "user.a", "x", Mode::kReplace));
  ASSERT_OK(store_->SetXattr(ino, "user.a", std::string("1\0002", 3), Mode::kCreate));
  EXPECT_ERROR(EEXIST, store_->SetXattr(ino, "user.a", "x", Mode::kCreate));
  ASSERT_OK(store_->SetXattr(ino, "user.b", "", Mode::kSet));
  EXPECT_EQ(std::string("1\0002", 3), store_->Xattr(ino, "user.a").value());
  EXPECT_EQ("", store_->Xattr(ino, "user.b").value());
  EXPECT_EQ((std::vector<std::string>{"user.a", "user.b"}), store_->XattrNames(ino).value());
  ASSERT_OK(store_->SetXattr(ino, "user.b", "new", Mode::kReplace));
  Reopen();
  EXPECT_EQ("new", store_->Xattr(ino, "user.b").value());
  ASSERT_OK(store_->RemoveXattr(ino, "user.b"));
  EXPECT_ERROR(ENODATA, store_->RemoveXattr(ino, "user.b"));
  EXPECT_EQ((std::vector<std::string>{"user.a"}), store_->XattrNames(ino).value());
}

TEST_F(MemoryTest, XattrsOfAnInodeThatIsNoMoreGoWithTheNextStart) {
  Remember(1);
  Remember(2);
  ASSERT_OK(store_->SetXattr(101, "user.a", "1", Mode::kSet));
  ASSERT_OK(store_->SetXattr(102, "user.a", "2", Mode::kSet));
  const auto item = store_->CreateFile("/new", store_->NewIno(), {});
  ASSERT_OK(item);
  ASSERT_OK(store_->SetXattr(item->ino, "user.a", "3", Mode::kSet));
  ASSERT_OK(store_->ForgetMemory(Path(1)));
  Reopen();
  EXPECT_ERROR(ENODATA, store_->Xattr(101, "user.a"));
  EXPECT_OK(store_->Xattr(102, "user.a"));
  EXPECT_OK(store_->Xattr(item->ino, "user.a"));
}

TEST_F(MemoryTest, XattrsOfAnotherVersionDoNotComeBack) {
  Remember(1);
  ASSERT_OK(store_->SetXattr(101, "user.a", "1", Mode::kSet));
  Remember(1);
  EXPECT_OK(store_->Xattr(101, "user.a"));
  ASSERT_OK(store_->Remember({Path(1), 101, ItemKind::kFile, {}, {7, 0, "", {}}, true}));
  EXPECT_ERROR(ENODATA, store_->Xattr(101, "user.a"));
}

}  // namespace
}  // namespace outboxfs::cache
