#include "mien/ranks/place.h"

#include <map>

#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/ranks/group.h"

namespace mien::ranks {
namespace {

std::optional<Place> place_in(const std::map<std::string, std::string>& variables) {
  return place_from([&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

TEST(Place, IsNothingForAProcessStartedAlone) {
  EXPECT_FALSE(place_in({}));
  EXPECT_FALSE(place_in({{"RANK", "0"}, {"WORLD_SIZE", "1"}}));
}

TEST(Place, IsReadFromTorchrun) {
  const auto place = place_in({{"RANK", "3"},
                               {"WORLD_SIZE", "8"},
                               {"LOCAL_WORLD_SIZE", "4"},
                               {"MASTER_ADDR", "node7"},
                               {"MASTER_PORT", "29500"}});
  ASSERT_TRUE(place);
  EXPECT_EQ(place->rank, 3);
  EXPECT_EQ(place->size, 8);
  EXPECT_EQ(place->processes_on_host, 4);
  EXPECT_EQ(place->address, "node7");
  EXPECT_EQ(place->port, 29500);
}

TEST(Place, LeavesTorchrunsPortToItsAgentWhereThatListens) {
  EXPECT_EQ(place_in({{"RANK", "0"},
                      {"WORLD_SIZE", "2"},
                      {"MASTER_ADDR", "a"},
                      {"MASTER_PORT", "4000"},
                      {"TORCHELASTIC_USE_AGENT_STORE", "True"}})
                ->port,
            4001);
}

TEST(Place, IsReadFromMpirunOnOneHostAndOnSeveral) {
  std::map<std::string, std::string> variables{{"OMPI_COMM_WORLD_RANK", "1"},
                                               {"OMPI_COMM_WORLD_SIZE", "4"},
                                               {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                                               {"OMPI_MCA_orte_hnp_uri", "17.0;tcp://10.1.2.3,172.17.0.1:40001"}};
  EXPECT_EQ(place_in(variables)->address, "127.0.0.1");
  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";
  EXPECT_EQ(place_in(variables)->address, "10.1.2.3");
  variables["MASTER_ADDR"] = "elsewhere";
  EXPECT_EQ(place_in(variables)->address, "elsewhere");
}

TEST(Place, IsReadFromSrunButNotFromTheBodyOfAnSbatchScript) {
  EXPECT_FALSE(place_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "7"}}));
  const auto place = place_in({{"SLURM_PROCID", "2"},
                               {"SLURM_STEP_NUM_TASKS", "4"},
                               {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
                               {"SLURM_STEP_NODELIST", "gpu[03-07,9],cpu1"},
                               {"SLURM_JOB_ID", "7"}});
  ASSERT_TRUE(place);
  EXPECT_EQ(place->rank, 2);
  EXPECT_EQ(place->address, "gpu03");
  EXPECT_EQ(place->processes_on_host, 2);
}

TEST(Place, GivesTwoJobsTwoPorts) {
  const auto port = [](const char* job) {
    return place_in({{"SLURM_PROCID", "0"},
                     {"SLURM_STEP_NUM_TASKS", "2"},
                     {"SLURM_STEP_NODELIST", "a"},
                     {"SLURM_JOB_ID", job}})
        ->port;
  };
  EXPECT_EQ(port("7"), port("7"));
  EXPECT_NE(port("7"), port("8"));
}

TEST(Place, RefusesNumbersThatAreNone) {
  EXPECT_THROW(place_in({{"RANK", "x"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), Error);
  EXPECT_THROW(place_in({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), Error);
  EXPECT_THROW(place_in({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "0"}}), Error);
}

TEST(Place, AsksForTheHostOfRank0WhereNothingNamesIt) {
  try {
    place_in({{"RANK", "0"}, {"WORLD_SIZE", "2"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.line().find("MASTER_ADDR"), std::string::npos) << error.line();
  }
}

TEST(RefuseRanks, NamesTheLauncher) {
  const auto two = [](const std::string& name) {
    return name == "RANK"          ? std::optional<std::string>("0")
           : name == "WORLD_SIZE"  ? std::optional<std::string>("2")
           : name == "MASTER_ADDR" ? std::optional<std::string>("a")
                                   : std::nullopt;
  };
  try {
    refuse_ranks("a recipe", two);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_NE(error.line().find("torchrun started 2"), std::string::npos) << error.line();
  }
  refuse_ranks("a recipe", [](const std::string&) { return std::nullopt; });
}

}  // namespace
}  // namespace mien::ranks
