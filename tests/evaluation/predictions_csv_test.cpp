#include "mien/evaluation/predictions_csv.h"

#include "fixtures.h"

#include "mien/core/random.h"

namespace mien::evaluation {
namespace {

const std::string kHeader = "row,label,predicted,correct,p_a,p_b,logit_a,logit_b\n";

TEST(PredictionsCsv, HasOneReadableLineAPrediction) {
  Predictions predictions = make_predictions({1, -1, 0}, {{0.25, 0.75}, {0.5, 0.5}, {0.125, 0.875}});
  predictions.rows = {3, 17, 4};
  predictions.logits[1] = -1.5;
  EXPECT_EQ(predictions_csv(predictions),
            kHeader +
                "3,b,b,1,0.25,0.75,0,-1.5\n"
                "17,,a,,0.5,0.5,0,0\n"
                "4,a,b,0,0.125,0.875,0,0\n");
}

TEST(PredictionsCsv, ReadsBackTheSameBits) {
  RandomStream random(4, "round trip");
  Predictions predictions;
  predictions.class_names = {"angry", "comma, and \"quote\"", "line\nbreak", "naïve"};
  for (int i = 0; i < 200; ++i) {
    predictions.rows.push_back(static_cast<int64_t>(random.below(uint64_t{1} << 40)));
    predictions.labels.push_back(static_cast<int32_t>(random.below(5)) - 1);
    for (int k = 0; k < 4; ++k) predictions.logits.push_back(random.normal() * 100);
  }
  predictions.probabilities.resize(800);
  softmax_rows(predictions.logits, 4, predictions.probabilities);
  const Predictions again = parse_predictions_csv(predictions_csv(predictions), "x.csv");
  EXPECT_EQ(again.class_names, predictions.class_names);
  EXPECT_EQ(again.rows, predictions.rows);
  EXPECT_EQ(again.labels, predictions.labels);
  EXPECT_EQ(again.logits, predictions.logits);
  EXPECT_EQ(again.probabilities, predictions.probabilities);
}

TEST(PredictionsCsv, NamesTheFilesOfFacesThatAreFiles) {
  Predictions predictions = make_predictions({1, 0}, {{0.25, 0.75}, {0.125, 0.875}});
  predictions.files = {"sad/a.png", "sad/b,c.png"};
  const std::string text = predictions_csv(predictions);
  EXPECT_TRUE(text.starts_with("row,file,label,predicted,correct,")) << text;
  EXPECT_NE(text.find("\n1,\"sad/b,c.png\",a,b,0,"), std::string::npos) << text;
  EXPECT_EQ(parse_predictions_csv(text, "x.csv").files, predictions.files);
  EXPECT_EQ(submission_csv(predictions, std::vector<int64_t>{7, 5}, {.names = true}),
            "id,label,class\nsad/a.png,1,b\n\"sad/b,c.png\",1,b\n");
}

TEST(PredictionsCsv, TakesAByteOrderMarkAndWindowsLineEnds) {
  const Predictions predictions = parse_predictions_csv(
      "\xef\xbb\xbfrow,label,predicted,correct,p_a,p_b,logit_a,logit_b\r\n\r\n7,a,a,1,1,0,2,1", "x.csv");
  EXPECT_EQ(predictions.rows, std::vector<int64_t>{7});
  EXPECT_EQ(predictions.logits, (std::vector<double>{2, 1}));
}

TEST(PredictionsCsv, NamesFileAndLineOfWhatIsWrong) {
  const auto problem = [](const std::string& text) {
    return message_of(ErrorCode::bad_data, [&] { parse_predictions_csv(text, "x.csv"); });
  };
  EXPECT_EQ(problem(""), "x.csv:1: the file is empty");
  EXPECT_EQ(problem("emotion,pixels\n"), "x.csv:1: column 1 is 'emotion', expected 'row'");
  EXPECT_EQ(problem("row,label,predicted\n"), "x.csv:1: column 4 is missing, expected 'correct'");
  EXPECT_EQ(problem("row,label,predicted,correct\n"),
            "x.csv:1: no column of probabilities, expected p_NAME for each class after 'correct'");
  EXPECT_EQ(problem("row,label,predicted,correct,p_,logit_\n"), "x.csv:1: column 5 is 'p_' without a class name");
  EXPECT_EQ(problem("row,label,predicted,correct,p_a,p_a\n"), "x.csv:1: two columns are named 'p_a'");
  EXPECT_EQ(problem("row,label,predicted,correct,p_a,p_b,logit_b,logit_a\n"),
            "x.csv:1: column 7 is 'logit_b', expected 'logit_a'");
  EXPECT_EQ(problem("row,label,predicted,correct,p_a,p_b,logit_a\n"),
            "x.csv:1: column 8 is missing, expected 'logit_b'");
  EXPECT_EQ(problem("row,label,predicted,correct,p_a,logit_a,note\n"), "x.csv:1: 7 columns for 1 classes, expected 6");
  const std::string good = "0,a,a,1,0.75,0.25,1,0\n";
  EXPECT_EQ(problem(kHeader + good + "1,a,a,1,0.75,0.25,1\n"), "x.csv:3: 7 fields, expected 8");
  EXPECT_EQ(problem(kHeader + good + "\n-1,a,a,1,0.75,0.25,1,0\n"),
            "x.csv:4: row is '-1', expected a whole number from 0 up");
  EXPECT_EQ(problem(kHeader + "1,zebra,a,1,0.75,0.25,1,0\n"),
            "x.csv:2: label is 'zebra', which is no class; one of: a, b");
  EXPECT_EQ(problem(kHeader + "1,a,no one,1,0.75,0.25,1,0\n"),
            "x.csv:2: predicted is 'no one', which is no class; one of: a, b");
  EXPECT_EQ(problem(kHeader + "1,a,b,0,0.75,0.25,1,0\n"),
            "x.csv:2: predicted is 'b', but the largest probability is that of 'a'");
  EXPECT_EQ(problem(kHeader + "1,b,a,1,0.75,0.25,1,0\n"),
            "x.csv:2: correct is '1', expected '0' for label 'b' and prediction 'a'");
  EXPECT_EQ(problem(kHeader + "1,,a,0,0.75,0.25,1,0\n"),
            "x.csv:2: correct is '0', expected '' for label '' and prediction 'a'");
  EXPECT_EQ(problem(kHeader + "1,a,a,1,1.75,0.25,1,0\n"), "x.csv:2: p_a is '1.75', expected a number from 0 to 1");
  EXPECT_EQ(problem(kHeader + "1,a,a,1,0.75,0.25x,1,0\n"), "x.csv:2: p_b is '0.25x', expected a number from 0 to 1");
  EXPECT_EQ(problem(kHeader + "1,a,a,1,0.75,0.125,1,0\n"), "x.csv:2: the probabilities sum to 0.875, expected 1");
  EXPECT_EQ(problem(kHeader + "1,a,a,1,0.75,0.25,inf,0\n"), "x.csv:2: logit_a is 'inf', expected a finite number");
  EXPECT_EQ(problem(kHeader + good + "1,\"a,a,1,0.75,0.25,1,0\n"), "x.csv:3: a quote is opened and never closed");
  EXPECT_EQ(problem(std::string(3000, ',')), "x.csv:1: more than 2004 columns");
  const std::string missing = message_of(ErrorCode::bad_data, [] { read_predictions_csv("/nowhere/x.csv"); });
  EXPECT_NE(missing.find("/nowhere/x.csv"), std::string::npos) << missing;
}

TEST(SubmissionCsv, GivesTheClassAsANumber) {
  Predictions predictions = make_predictions({-1, -1}, {{0.25, 0.75}, {0.5, 0.5}});
  predictions.class_names[1] = "b,c";
  EXPECT_EQ(submission_csv(predictions), "id,label\n0,1\n1,0\n");
  EXPECT_EQ(submission_csv(predictions, std::vector<int64_t>{7, 5}, {.probabilities = true}),
            "id,label,p_a,\"p_b,c\"\n7,1,0.25,0.75\n5,0,0.5,0.5\n");
  EXPECT_EQ(message_of(ErrorCode::usage, [&] { submission_csv(predictions, std::vector<int64_t>{7}); }),
            "cannot write a submission: 1 ids for 2 predictions");
}

}  // namespace
}  // namespace mien::evaluation
