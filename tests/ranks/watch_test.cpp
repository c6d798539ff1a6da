#include "mien/ranks/watch.h"

#include <future>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mien::ranks {
namespace {

using std::chrono::milliseconds;

uint16_t next_port() {
  static int count = 0;
  return static_cast<uint16_t>(33000 + (::getpid() * 7 + 13 * count++) % 20000);
}

Patience hasty() {
  return {.to_join = milliseconds(4000),
          .silent = milliseconds(1500),
          .late = milliseconds(1000),
          .tick = milliseconds(50)};
}

Place place(int rank, int size, uint16_t port) {
  return {.rank = rank, .size = size, .launcher = "test", .address = "127.0.0.1", .port = port};
}

/// A rank in a process of its own, which runs `body` with its watch.
template <class Body>
pid_t start_rank(int rank, int size, uint16_t port, const Body& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  try {
    Watch watch(place(rank, size, port), "-", hasty());
    body(watch);
    ::_exit(0);
  } catch (...) {
    ::_exit(9);
  }
}

void sleep_long(Watch&) { ::sleep(30); }

void end(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST(Watch, BringsRanksTogetherAndTellsThemRank0sNote) {
  const uint16_t port = next_port();
  const pid_t one = start_rank(1, 3, port, [](Watch& watch) {
    if (watch.note() != "4711" || watch.hosts().size() != 3) ::_exit(8);
    watch.leave();
  });
  const pid_t two = start_rank(2, 3, port, [](Watch& watch) { watch.leave(); });
  const Watch watch(place(0, 3, port), "4711", hasty());
  EXPECT_EQ(watch.hosts(), std::vector<std::string>(3, host_name()));
  int status = 0;
  ::waitpid(one, &status, 0);
  EXPECT_EQ(status, 0);
  ::waitpid(two, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Watch, NamesTheRanksThatDidNotCome) {
  const uint16_t port = next_port();
  const pid_t two = start_rank(2, 4, port, sleep_long);
  try {
    const Watch watch(place(0, 4, port), "-", hasty());
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.line().find("rank 1, 3 of 4 did not come"), std::string::npos) << error.line();
  }
  end(two);
}

TEST(Watch, NamesARankThatIsKilled) {
  const uint16_t port = next_port();
  const pid_t one = start_rank(1, 3, port, sleep_long);
  const pid_t two = start_rank(2, 3, port, sleep_long);
  Watch watch(place(0, 3, port), "-", hasty());
  EXPECT_FALSE(watch.wait_for_loss(milliseconds(300)));
  end(two);
  const auto loss = watch.wait_for_loss(milliseconds(1000));
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->rank, 2);
  EXPECT_NE(loss->line.find("rank 2 of 3 on " + host_name() + " has ended"), std::string::npos) << loss->line;
  end(one);
}

TEST(Watch, NamesARankThatIsSilent) {
  const uint16_t port = next_port();
  const pid_t one = start_rank(1, 2, port, sleep_long);
  Watch watch(place(0, 2, port), "-", hasty());
  ::kill(one, SIGSTOP);
  const auto loss = watch.wait_for_loss(milliseconds(4000));
  ASSERT_TRUE(loss);
  EXPECT_NE(loss->line.find("rank 1 of 2 on"), std::string::npos) << loss->line;
  EXPECT_NE(loss->line.find("silent"), std::string::npos) << loss->line;
  end(one);
}

TEST(Watch, TellsOtherRanksOfALoss) {
  const uint16_t port = next_port();
  const pid_t one = start_rank(1, 3, port, [](Watch& watch) {
    const auto loss = watch.wait_for_loss(milliseconds(5000));
    ::_exit(loss && loss->rank == 2 && loss->line.find("rank 2") != std::string::npos ? 0 : 7);
  });
  const pid_t two = start_rank(2, 3, port, sleep_long);
  Watch watch(place(0, 3, port), "-", hasty());
  end(two);
  int status = 0;
  ::waitpid(one, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Watch, NamesARankThatHangsWhileAllOthersWaitForIt) {
  const uint16_t port = next_port();
  const auto step = [](Watch& watch) {
    watch.waits();
    watch.passed();
  };
  const pid_t one = start_rank(1, 3, port, [&](Watch& watch) {
    for (int i = 0; i < 20; ++i) step(watch);
    watch.waits();
    ::sleep(30);
  });
  const pid_t two = start_rank(2, 3, port, [&](Watch& watch) {
    for (int i = 0; i < 20; ++i) step(watch);
    ::sleep(30);  // alive, and does not come
  });
  Watch watch(place(0, 3, port), "-", hasty());
  for (int i = 0; i < 20; ++i) step(watch);
  watch.waits();
  const auto loss = watch.wait_for_loss(milliseconds(4000));
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->rank, 2);
  EXPECT_NE(loss->line.find("hangs"), std::string::npos) << loss->line;
  end(one);
  end(two);
}

TEST(Watch, TakesAnOrderlyEndForNoLoss) {
  const uint16_t port = next_port();
  const pid_t one = start_rank(1, 2, port, [](Watch& watch) { watch.leave(); });
  Watch watch(place(0, 2, port), "-", hasty());
  ::waitpid(one, nullptr, 0);
  EXPECT_FALSE(watch.wait_for_loss(milliseconds(2000)));
}

TEST(Watch, PassesOnWhyARankFailed) {
  const uint16_t port = next_port();
  const pid_t one = start_rank(1, 2, port, [](Watch& watch) {
    watch.tell_failure(ErrorCode::bad_data, "cannot read faces.csv");
    ::_exit(0);
  });
  Watch watch(place(0, 2, port), "-", hasty());
  const auto loss = watch.wait_for_loss(milliseconds(2000));
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->code, ErrorCode::bad_data);
  EXPECT_EQ(loss->line, "rank 1 of 2 on " + host_name() + ": cannot read faces.csv");
  ::waitpid(one, nullptr, 0);
}

TEST(Watch, PassesOverStrangersAtItsPort) {
  const uint16_t port = next_port();
  const pid_t stranger = start_rank(1, 5, port, sleep_long);  // of another job
  const pid_t one = start_rank(1, 2, port, [](Watch& watch) { watch.leave(); });
  const Watch watch(place(0, 2, port), "-", hasty());
  int status = 0;
  ::waitpid(one, &status, 0);
  EXPECT_EQ(status, 0);
  end(stranger);
}

TEST(OwnAddress, IsTheOneTowardsTheOthers) { EXPECT_EQ(own_address_towards("127.0.0.1", 9), "127.0.0.1"); }

}  // namespace
}  // namespace mien::ranks
