#include "mien/evaluation/vote.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fixtures.h"

#include "mien/core/random.h"

namespace mien::evaluation {
namespace {

std::vector<double> row_of(const Predictions& predictions, int64_t i) {
  const auto row = predictions.probability_row(i);
  return {row.begin(), row.end()};
}

void expect_near(const std::vector<double>& values, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t k = 0; k < values.size(); ++k) EXPECT_NEAR(values[k], expected[k], tolerance) << "class " << k;
}

std::vector<Predictions> fixture_members() {
  std::vector<Predictions> members;
  for (const char* name : {"member1.csv", "member2.csv", "member3.csv"}) {
    members.push_back(read_predictions_csv(fixture_path(name)));
  }
  return members;
}

double mean_loss(const Predictions& predictions) {
  double sum = 0;
  for (int64_t i = 0; i < predictions.size(); ++i) sum += predictions.loss(i);
  return sum / static_cast<double>(predictions.size());
}

TEST(MajorityVote, FollowsTheMostMembersAgainstTheMeanProbability) {
  const std::vector<Predictions> members = {make_predictions({0}, {{0.51, 0.49, 0}}),
                                            make_predictions({0}, {{0.51, 0.49, 0}}),
                                            make_predictions({0}, {{0, 1, 0}})};
  const Predictions majority = combine(members, Vote::majority);
  EXPECT_EQ(majority.predicted(0), 0);
  expect_near(row_of(majority, 0), {2.0 / 3, 1.0 / 3, 0}, 1e-6);
  EXPECT_NEAR(std::accumulate(majority.probabilities.begin(), majority.probabilities.end(), 0.0), 1, 1e-15);
  EXPECT_EQ(combine(members, Vote::mean_probability).predicted(0), 1);
}

TEST(MajorityVote, BreaksATieByTheMeanProbabilityThenByTheLowestIndex) {
  // One vote each for b and c; c is the surer. Class a has the largest mean of none and no vote.
  const Predictions by_mean =
      combine({make_predictions({0}, {{0.40, 0.45, 0.15}}), make_predictions({0}, {{0.40, 0, 0.60}})}, Vote::majority);
  EXPECT_EQ(by_mean.predicted(0), 2);
  // Votes and means are equal: the lowest index. The shares are no sums of powers of two.
  const Predictions by_index =
      combine({make_predictions({0}, {{0.1, 0.2, 0.7}}), make_predictions({0}, {{0.1, 0.7, 0.2}})}, Vote::majority);
  EXPECT_EQ(by_index.predicted(0), 1);
  // A class that nobody votes for never wins, however large its mean.
  const Predictions no_votes =
      combine({make_predictions({0}, {{0.49, 0.51, 0}}), make_predictions({0}, {{0.49, 0, 0.51}})}, Vote::majority);
  EXPECT_EQ(no_votes.predicted(0), 1);
}

TEST(MajorityVote, EqualsACountOfVotesOnRandomMembers) {
  RandomStream random(9, "members");
  std::vector<Predictions> members;
  for (int m = 0; m < 5; ++m) {
    std::vector<std::vector<double>> rows(300, std::vector<double>(4));
    for (auto& row : rows) {
      for (double& p : row) p = random.uniform();
      const double sum = std::accumulate(row.begin(), row.end(), 0.0);
      for (double& p : row) p /= sum;
    }
    members.push_back(make_predictions(std::vector<int32_t>(300, 0), rows));
  }
  const Predictions majority = combine(members, Vote::majority);
  for (int64_t i = 0; i < 300; ++i) {
    std::vector<std::pair<int, double>> standing(4);
    for (const Predictions& member : members) {
      standing[static_cast<size_t>(member.predicted(i))].first += 1;
      for (size_t k = 0; k < 4; ++k) standing[k].second += member.probability_row(i)[k];
    }
    EXPECT_EQ(majority.predicted(i), std::max_element(standing.begin(), standing.end()) - standing.begin()) << i;
  }
}

TEST(MeanProbability, IsTheMeanAndItsLogitsGiveItBack) {
  const Predictions mean =
      combine({make_predictions({0}, {{0.5, 0.5, 0}}), make_predictions({0}, {{0.1, 0.9, 0}})}, Vote::mean_probability);
  expect_near(row_of(mean, 0), {0.3, 0.7, 0}, 1e-15);
  std::vector<double> again(3);
  softmax_rows(mean.logits, 3, again);
  expect_near(again, {0.3, 0.7, 0}, 1e-15);
}

TEST(MeanProbability, OfNineMembersSureOfOneClassStaysWithinOne) {
  const Predictions sure = make_predictions({0}, {{1, 0}});
  const Predictions mean = combine(std::vector<Predictions>(9, sure), Vote::mean_probability);
  EXPECT_EQ(row_of(mean, 0), (std::vector<double>{1, 0}));  // nine times 1.0 / 9 is more than 1
  EXPECT_NO_THROW(check_predictions(mean, "mean"));
}

TEST(MeanLogit, IsTheSoftmaxOfTheMeanLogits) {
  Predictions first = make_predictions({0}, {{0.5, 0.5}});
  Predictions second = first;
  first.logits = {3, 0};
  second.logits = {0, 1};
  const Predictions mean = combine({first, second}, Vote::mean_logit);
  EXPECT_EQ(mean.logits, (std::vector<double>{1.5, 0.5}));
  EXPECT_NEAR(mean.probabilities[0], 1 / (1 + std::exp(-1)), 1e-15);
}

TEST(WeightedVote, WeighsProbabilitiesAndRefusesWeightsThatDoNotFit) {
  const std::vector<Predictions> members = {make_predictions({0}, {{1, 0}}), make_predictions({0}, {{0.2, 0.8}})};
  expect_near(row_of(combine(members, Vote::weighted, std::vector<double>{0.25, 0.75}), 0), {0.4, 0.6}, 1e-15);
  const auto refused = [&](std::vector<double> weights) {
    return message_of(ErrorCode::usage, [&] { combine(members, Vote::weighted, weights); });
  };
  EXPECT_EQ(refused({1}), "cannot combine predictions: 1 weights for 2 members");
  EXPECT_EQ(refused({1.5, -0.5}), "cannot combine predictions: weight -0.5 is below 0");
  EXPECT_EQ(refused({0.5, 0.25}), "cannot combine predictions: the weights sum to 0.75, expected 1");
  EXPECT_EQ(refused({0.5, NAN}), "cannot combine predictions: weight nan is below 0");
}

TEST(Combine, RefusesMembersThatJudgedOtherRows) {
  const Predictions first = make_predictions({0, 1}, {{1, 0}, {0, 1}});
  Predictions second = first;
  second.rows[1] = 8;
  EXPECT_EQ(message_of(ErrorCode::bad_data,
                       [&] {
                         combine({first, second}, Vote::majority);
                       }),
            "cannot compare member 1 with member 2: prediction 2 is of row 1 in the first and of row 8 in the second");
  EXPECT_EQ(message_of(ErrorCode::usage, [] { combine({}, Vote::majority); }),
            "cannot combine predictions: an ensemble needs at least one member");
}

TEST(FittedWeights, EqualScipysOptimumAndDoWithoutAUselessMember) {
  const std::vector<Predictions> members = fixture_members();
  const std::vector<double> weights = fit_vote_weights(members);
  const std::vector<double> expected = reference()["ensemble"]["weights"];
  expect_near(weights, expected, 1e-3);
  EXPECT_LT(weights[2], 0.01);
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1, 1e-15);
  const double loss = mean_loss(combine(members, Vote::weighted, weights));
  EXPECT_NEAR(loss, reference()["ensemble"]["log_loss"].get<double>(), 2e-7);
  EXPECT_LT(loss, mean_loss(members[0]));
  EXPECT_LT(loss, mean_loss(combine(members, Vote::mean_probability)));
  EXPECT_EQ(weights, fit_vote_weights(members));
}

TEST(FittedWeights, AreEqualForEqualMembers) {
  const Predictions member = fixture_members()[0];
  EXPECT_EQ(fit_vote_weights({member, member}), (std::vector<double>{0.5, 0.5}));
}

TEST(AccuracyAgainstMembers, AveragesOverAllSubsets) {
  // Right are: a, b / a, c / b, c of three faces each; any two tie and follow the surer, all three are always right.
  const auto member = [](double first, double second, double third) {
    return make_predictions({0, 0, 0}, {{first, 1 - first}, {second, 1 - second}, {third, 1 - third}});
  };
  const std::vector<Predictions> members = {member(0.9, 0.9, 0.4), member(0.9, 0.4, 0.9), member(0.4, 0.9, 0.9)};
  const auto result = accuracy_against_members(members, Vote::majority);
  ASSERT_EQ(result.size(), 3u);
  EXPECT_EQ(result[0].members, 1);
  EXPECT_EQ(result[0].subsets, 3);
  EXPECT_NEAR(result[0].accuracy, 2.0 / 3, 1e-15);
  EXPECT_NEAR(result[0].interval.low, wilson_interval(2, 3).low, 1e-12);
  EXPECT_EQ(result[1].subsets, 3);
  EXPECT_EQ(result[1].accuracy, 1);
  EXPECT_EQ(result[2].subsets, 1);
  EXPECT_EQ(result[2].lowest, 1);
}

TEST(AccuracyAgainstMembers, EndsAtTheWholeEnsembleForEveryVote) {
  const std::vector<Predictions> members = fixture_members();
  const std::vector<double> weights = {0.5, 0.3, 0.2};
  for (const std::string& name : vote_names()) {
    const Vote vote = vote_from_text(name);
    EXPECT_EQ(to_text(vote), name);
    const Predictions all = combine(members, vote, weights);
    int64_t correct = 0;
    for (int64_t i = 0; i < all.size(); ++i) correct += all.predicted(i) == all.labels[static_cast<size_t>(i)];
    EXPECT_DOUBLE_EQ(accuracy_against_members(members, vote, weights)[2].accuracy, static_cast<double>(correct) / 100)
        << name;
  }
}

TEST(AccuracyAgainstMembers, DrawsDifferentSubsetsWhereThereAreTooMany) {
  std::vector<Predictions> members(12, fixture_members()[0]);
  members[0] = fixture_members()[2];
  const auto result = accuracy_against_members(members, Vote::mean_probability, {}, 20, 1);
  ASSERT_EQ(result.size(), 12u);
  EXPECT_EQ(result[0].subsets, 12);
  EXPECT_EQ(result[5].subsets, 20);
  EXPECT_EQ(result[10].subsets, 12);
  EXPECT_LT(result[0].lowest, result[0].highest);
  const auto again = accuracy_against_members(members, Vote::mean_probability, {}, 20, 1);
  for (size_t m = 0; m < 12; ++m) EXPECT_EQ(result[m].accuracy, again[m].accuracy);
}

TEST(VoteFromText, SuggestsTheNearestName) {
  EXPECT_EQ(message_of(ErrorCode::usage, [] { vote_from_text("majorty"); }),
            "no vote is named 'majorty'; did you mean 'majority'?");
}

}  // namespace
}  // namespace mien::evaluation
