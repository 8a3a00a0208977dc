// What listings say of names that were deleted or uploaded here: lag, or somebody else's doing.
#include "store_fixture.h"
#include "support/fake_clock.h"

namespace outboxfs::cache {
namespace {

class OverlayTest : public ::testing::Test {
 protected:
  OverlayTest() { Reopen(); }
  void Reopen() {
    store_.reset();
    auto opened = Store::Open({directory_.path() + "/cache"}, clock_);
    if (!opened) throw std::runtime_error(opened.error().text);
    store_ = std::move(*opened);
  }
  // A listing of "/" that is begun `later` and shows `shown` under "f".
  void List(std::chrono::seconds later, std::optional<Listed> shown) {
    clock_.Advance(later);
    store_->ReconcileEntries("/", clock_.Now(), [&](const std::string& name) {
      return name == "f" ? shown : std::nullopt;
    });
  }
  // "/f", whose upload has begun.
  ItemId Upload() {
    auto item = store_->CreateFile("/f", store_->NewIno(), {});
    EXPECT_TRUE(item && store_->EndWrite(item->id, true));
    EXPECT_TRUE(Await([&] { return store_->Get(item->id)->state == State::kWaiting; }));
    EXPECT_TRUE(store_->MarkStarting(item->id, 1, "/cloud/f", std::nullopt));
    return item->id;
  }
  Overlay::Kind Kind() { return store_->Lookup("/f").kind; }
  void RememberFile(bool confirmed, Identity identity) {
    ASSERT_OK(store_->Remember({"/f", 9, ItemKind::kFile, {}, std::move(identity), confirmed}));
  }
  static Listed File(Identity identity) { return {ItemKind::kFile, std::move(identity)}; }

  static constexpr std::chrono::seconds kSoon{1};
  static constexpr std::chrono::seconds kLate{61};
  TempDir directory_;
  test::FakeClock clock_;
  std::unique_ptr<Store> store_;
};

TEST_F(OverlayTest, AGoneNameShowsAgainWhenAnotherVersionIsListed) {
  const Identity old{4, 1'000'000'000'000, "old", {{1, "aa"}}};
  const Identity others[] = {{5, old.mtime_ns, "old", {{1, "aa"}}},
                             {4, old.mtime_ns, "old", {{1, "bb"}}},
                             {4, old.mtime_ns, "new", {{1, "aa"}}},
                             {4, 2'000'000'000'000, "old", {{1, "aa"}}}};
  for (const Identity& other : others) {
    RememberFile(true, old);
    ASSERT_OK(store_->Remove("/f", true));
    List(kSoon, File(old));
    Reopen();
    List(kSoon, File(old));
    EXPECT_EQ(Overlay::Kind::kGone, Kind());
    List(kSoon, File(other));
    EXPECT_EQ(Overlay::Kind::kNone, Kind());
    Reopen();
    EXPECT_EQ(Overlay::Kind::kNone, Kind());
  }
  RememberFile(true, old);
  ASSERT_OK(store_->Remove("/f", true));
  List(kSoon, Listed{ItemKind::kDir, old});
  EXPECT_EQ(Overlay::Kind::kNone, Kind());
}

TEST_F(OverlayTest, WithoutAnIdentityOnlyWhatWasWrittenLaterIsAnother) {
  ASSERT_OK(store_->Remove("/f", true));
  const int64_t now = clock_.WallNs();
  List(kSoon, File({4, now - 1'000'000'000, "", {}}));
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
  List(kSoon, File({4, now + 10'000'000'000, "", {}}));
  EXPECT_EQ(Overlay::Kind::kNone, Kind());
}

TEST_F(OverlayTest, WhatTwoLateListingsShowWasNotDeleted) {
  const Identity same{4, 0, "", {}};
  RememberFile(true, same);
  ASSERT_OK(store_->Remove("/f", true));
  List(kLate, File(same));
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
  List(std::chrono::seconds(0), File(same));  // the same listing once more
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
  List(kSoon, File(same));
  EXPECT_EQ(Overlay::Kind::kNone, Kind());
}

TEST_F(OverlayTest, WhatTwoLateListingsLackIsNotThereAnyMore) {
  RememberFile(false, {4, 0, "", {}});
  for (int i = 0; i < 5; ++i) List(kSoon, std::nullopt);
  EXPECT_EQ(Overlay::Kind::kUploaded, Kind());
  Reopen();  // an upload may have ended just before
  List(kSoon, std::nullopt);
  List(kSoon, std::nullopt);
  EXPECT_EQ(Overlay::Kind::kUploaded, Kind());
  List(kLate, std::nullopt);
  EXPECT_EQ(Overlay::Kind::kUploaded, Kind());
  List(kSoon, std::nullopt);
  EXPECT_EQ(Overlay::Kind::kNone, Kind());
  EXPECT_FALSE(store_->Recall("/f"));
}

TEST_F(OverlayTest, ADoubtedNameGoesWithTheNextListingThatLacksIt) {
  RememberFile(false, {4, 0, "", {}});
  clock_.Advance(kSoon);
  const SteadyTime before = clock_.Now();
  clock_.Advance(kSoon);
  store_->DoubtUploaded("/f");
  store_->Reconcile("/", before, std::vector<std::string>{});
  EXPECT_EQ(Overlay::Kind::kUploaded, Kind());
  List(kSoon, std::nullopt);
  EXPECT_EQ(Overlay::Kind::kNone, Kind());
}

TEST_F(OverlayTest, WhatACancelledUploadMayStillPutThereStaysHidden) {
  Upload();
  ASSERT_OK(store_->Remove("/f", true));
  List(kSoon, std::nullopt);  // not there yet
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
  List(kLate, File({99, clock_.WallNs() + 100'000'000'000, "", {}}));
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
  List(kSoon, std::nullopt);
  List(kSoon, File({99, clock_.WallNs(), "", {}}));
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
}

TEST_F(OverlayTest, WhatAnUploadPutUnderAnOldNameStaysHiddenWhenItIsTakenAway) {
  const auto id = Upload();
  // Written again since: what comes of the upload, nobody knows.
  ASSERT_OK(store_->BeginWrite(id));
  auto pin = store_->PinFile(id, true);
  ASSERT_OK(pin);
  ASSERT_OK((*pin)->Write(Bytes("newer"), 0));
  pin->Reset();
  ASSERT_OK(store_->EndWrite(id, true));
  ASSERT_TRUE(Await([&] { return store_->Get(id)->state == State::kWaiting; }));
  ASSERT_OK(store_->Rename("/f", "/g", true));
  clock_.Advance(10 * kSoon);
  const int64_t uploaded = clock_.WallNs();
  const SteadyTime before = clock_.Now();
  clock_.Advance(kSoon);
  ASSERT_OK(store_->MarkUploadGone(id));
  const auto list = [&](SteadyTime begun) {
    store_->ReconcileEntries("/", begun, [&](const std::string& name) -> std::optional<Listed> {
      if (name != "f") return std::nullopt;
      return File({99, uploaded, "", {}});
    });
  };
  list(before);
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
  clock_.Advance(kSoon);
  list(clock_.Now());  // it lags
  EXPECT_EQ(Overlay::Kind::kGone, Kind());
  List(kSoon, std::nullopt);
  EXPECT_EQ(Overlay::Kind::kNone, Kind());
}

}  // namespace
}  // namespace outboxfs::cache
